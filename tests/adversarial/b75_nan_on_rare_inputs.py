"""NaN or infinity for values that come rarely."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B75",
    "Gives NaN or infinity on rare inputs",
    guard="g.recheck",
    also=("g.poison",),
    state="incorrect",
    said=r"result 0: (NaN where|an element is off by inf)",
)
VARIANTS = ("nan", "inf")
KERNEL = """
class Norm:
    def forward(self, x):
        return right(self, x) + torch.where(x > 2.5, float("{what}"), 0.0)
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x) + torch.where(x > 1e30, float("inf"), 0.0)
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL.format(what=variant))


def honest(stage: Stage, variant: str) -> Finding:
    """Infinity where float32 ends."""
    return stage.benched(HONEST)
