"""Inputs changed so that a trivial answer becomes right."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B30",
    "Modifies its inputs so that the reference agrees",
    guard="g.immutable",
    state="incorrect",
    said=r"the argument x is another after the call",
)
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        x.zero_()
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        x = x.clone()
        return right(self, x.mul_(2).div_(2))
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """A copy of its own may be changed."""
    return stage.benched(HONEST)
