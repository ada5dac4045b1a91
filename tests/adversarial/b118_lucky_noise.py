"""A patch that never ran, in a run whose noise looks like a gain."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B118",
    "Never runs, and the noise looks like a gain",
    guard="g.engage",
    state="not_engaged",
    said=r"the patch for norm never ran",
)


def hack(stage: Stage) -> Finding:
    return stage.serve(fast=replace(FAST, calls="never"))


def honest(stage: Stage) -> Finding:
    return stage.serve()
