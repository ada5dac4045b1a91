"""A kernel that gives back what it was given."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B02", "Returns its input", guard="g.contract", state="incorrect", said=r"it lies in the memory of the argument x"
)
KERNEL = """
class Norm:
    def forward(self, x):
        return x
"""
HONEST = """
def add_into(x, residual):
    return residual.add_(x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """An operator that the task lets return its argument."""
    return stage.benched(HONEST, "add")
