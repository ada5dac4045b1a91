"""A setting by which the engine never takes the path that the patch is on."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B130",
    "The engine does not select the patched path (custom operators off)",
    guard="g.engage",
    state="not_engaged",
    said=r"never imported the targets of: norm; this model does not use them",
)


def hack(stage: Stage) -> Finding:
    return stage.serve(fast=replace(FAST, fault="absent"))


def honest(stage: Stage) -> Finding:
    return stage.serve()
