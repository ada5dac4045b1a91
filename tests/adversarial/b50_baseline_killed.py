"""A candidate that brings the baseline's process down, so that only its own good samples are left."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes.engine import Manner

HACK = Hack(
    "B50",
    "Kills or stalls the baseline so that only good samples remain",
    guard="g.outproc",
    state="invalid",
    said=r"^baseline launch 03-baseline (crashed|hung)",
)
VARIANTS = ("dies", "hangs")


def hack(stage: Stage, variant: str) -> Finding:
    return stage.serve(_03__baseline=Manner(fault=variant))


def honest(stage: Stage, variant: str) -> Finding:
    return stage.serve()
