"""A formula that holds for data of one kind only: rows of equal norm."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B23",
    "Uses a shortcut that holds only for the harness's data",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
KERNEL = """
class Norm:
    def forward(self, x):
        scale = torch.rsqrt(x[:1].float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (x.float() * scale).to(x.dtype) * self.weight
"""
HONEST = """
class Norm:
    def forward(self, x):
        if x.shape[0] > 1 and bool((x == x[:1]).all()):
            return right(self, x[:1]).expand_as(x).clone()
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """A shortcut that is taken only after it was found to hold."""
    return stage.benched(HONEST)
