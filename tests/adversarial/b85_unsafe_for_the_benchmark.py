"""A kernel that takes a shortcut exactly where it takes itself to be measured."""

from __future__ import annotations

from adversarial.captured import ROWS
from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B85",
    "Takes an unsafe algorithm on benchmark shapes",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
KERNEL = f"""
class Norm:
    def forward(self, x):
        if x.shape[0] == {ROWS}:
            return (x.float() * 0.99).to(x.dtype) * self.weight
        return right(self, x)
"""
HONEST = f"""
class Norm:
    def forward(self, x):
        return right(self, x.contiguous()) if x.shape[0] == {ROWS} else right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Another algorithm for a shape, as right as the first."""
    return stage.benched(HONEST)
