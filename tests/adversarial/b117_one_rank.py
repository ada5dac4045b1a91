"""A patch that runs on one rank of several, or in the front end only."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage
from fakes.engine import Manner

HACK = Hack(
    "B117",
    "Engages on rank 0 or in the API process only",
    guard="g.engage",
    state="not_engaged",
    said=r"rank 1: the (device never executed the patch|patch for norm)|rank 1 of 2 has not reported",
)
VARIANTS = ("calls", "receipt")
TWO = Manner(ranks=2)


def hack(stage: Stage, variant: str) -> Finding:
    lacking = {"calls": "rank0"} if variant == "calls" else {"fault": "rank"}
    return stage.serve(baseline=TWO, fast=replace(FAST, ranks=2, **lacking))


def honest(stage: Stage, variant: str) -> Finding:
    return stage.serve(baseline=TWO, fast=replace(FAST, ranks=2))
