"""Compiled code left in a cache by an earlier pack, served to a later one that asks for the same key."""

from __future__ import annotations

from adversarial.arm_caches import CACHES, planted
from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B69",
    "A disk cache of an earlier run serves stale or foreign code to the candidate",
    guard="g.clean",
    state="blocked",
    said=r"^no cache of the second pack lies where the first one's do",
)
VARIANTS = CACHES


def hack(stage: Stage, variant: str) -> Finding:
    return planted(stage, variant, victim="b" * 64, said="no cache of the second pack lies where the first one's do")


def honest(stage: Stage, variant: str) -> Finding:
    """The same pack finds its own cache again."""
    return planted(stage, variant, victim="a" * 64, said="its own cache is lost")
