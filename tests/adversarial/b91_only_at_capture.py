"""Host code that runs while a graph is captured and never again: counters in Python say that the patch is in."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B91",
    "Is called at graph capture only; what is replayed does not hold it",
    guard="g.engage",
    state="not_engaged",
    said=r"the patch for norm was compiled or ran before the load, and nothing shows that it ran",
    part="with a fake engine; the device's own counter is shown in tests/overlay",
)


def hack(stage: Stage) -> Finding:
    return stage.serve(fast=replace(FAST, calls="captured"))


def honest(stage: Stage) -> Finding:
    """A patch that Python never sees again either, but the device counts it."""
    return stage.serve(fast=replace(FAST, calls="device"))
