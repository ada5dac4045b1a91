"""A tensor that computes itself when somebody looks at it, after the clock has stopped."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B57",
    "Returns a lazy tensor subclass",
    guard="g.contract",
    state="incorrect",
    said=r"result 0: a \S+:Lazy instead of a torch:Tensor",
)
KERNEL = """
class Lazy(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        plain = [right(each.layer, each.x) if type(each) is cls else each for each in args]
        return function(*plain, **(kwargs or {}))


class Norm:
    def forward(self, x):
        out = torch.Tensor._make_subclass(Lazy, torch.empty_like(x))
        out.layer, out.x = self, x
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        return torch.Tensor(right(self, x))
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
