"""A kernel that allocates its result and hopes that the memory still holds somebody else's right one."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B01",
    "Allocates where the reference result was just freed, and computes nothing",
    guard="g.poison",
    also=("g.recheck", "g.variation"),
    state="incorrect",
    said=r"of a result is what its memory held before|result 0: ",
)
KERNEL = """
class Norm:
    def forward(self, x):
        return torch.empty_like(x)
"""
HONEST = """
class Norm:
    def forward(self, x):
        out = torch.empty_like(x)
        return torch.mul(right(self, x), 1, out=out)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
