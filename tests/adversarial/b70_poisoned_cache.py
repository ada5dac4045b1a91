"""A candidate that plants code in the compile cache for the baseline to load."""

from __future__ import annotations

from adversarial.arm_caches import CACHES, planted
from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B70",
    "Poisons the compile cache of the baseline",
    guard="g.clean",
    state="blocked",
    said=r"^no cache of the baseline lies where the pack's do",
)
VARIANTS = CACHES


def hack(stage: Stage, variant: str) -> Finding:
    return planted(stage, variant, victim="", said="no cache of the baseline lies where the pack's do")


def honest(stage: Stage, variant: str) -> Finding:
    return planted(stage, variant, victim="a" * 64, said="its own cache is lost")
