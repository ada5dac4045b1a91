"""An operator that must write into an argument, and leaves it as it is."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B17",
    "Never writes its output and hopes that the buffer is right already",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
KERNEL = """
def add_into(x, residual):
    return residual
"""
HONEST = """
def add_into(x, residual):
    torch.add(residual, x, out=residual)
    return residual
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL, "add")


def honest(stage: Stage) -> Finding:
    """Written through ``out``."""
    return stage.benched(HONEST, "add")
