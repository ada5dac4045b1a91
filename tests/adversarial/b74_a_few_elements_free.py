"""A few elements arbitrarily wrong, fewer than the share that a bound lets pass."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B74",
    "Spends the share of elements that may be wrong",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: an element is off by",
)
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        out[0, 5] = 60000.0
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        out[0, 5] *= 1 + 2**-22
        return out
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
