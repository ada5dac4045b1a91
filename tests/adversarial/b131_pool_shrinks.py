"""A workspace so large that the KV cache shrinks."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B131",
    "Takes so much memory that the KV pool shrinks",
    guard="g.memory",
    state="resource_regression",
    said=r"^80\.0 % of the baseline's KV blocks are left",
)


def hack(stage: Stage) -> Finding:
    return stage.serve(fast=replace(FAST, kv_blocks=80))


def honest(stage: Stage) -> Finding:
    """A workspace of two percent of the pool."""
    return stage.serve(fast=replace(FAST, kv_blocks=98))
