"""A kernel that takes its process down: the other arms' launches are fresh processes and know nothing of it."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage, decided
from fakes.engine import Manner

HACK = Hack(
    "B132",
    "An illegal access poisons the process",
    guard="g.clean",
    state="incorrect",
    said=r"^launch \S+ crashed: LaunchError: the engine ended with code -9",
    part="a process that dies; the CUDA context itself needs a GPU",
)


def both(stage: Stage) -> tuple[Finding, Finding]:
    stage.work.packs = ("fast", "bad")
    fast, bad = stage.work.run(fast=FAST, bad=Manner(fault="dies"))
    return decided(fast), decided(bad)


def hack(stage: Stage) -> Finding:
    return both(stage)[1]


def honest(stage: Stage) -> Finding:
    """The pack that shares the run with it is not touched."""
    return both(stage)[0]
