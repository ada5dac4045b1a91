"""A patch that stores the KV cache in fewer bits."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage
from fakes.engine import Manner

HACK = Hack(
    "B114",
    "Lowers the KV cache's dtype, or frees weights for a larger pool",
    guard="g.fingerprint",
    state="invalid",
    said=r"resolved settings are not the same in every launch: cache\.dtype \(auto / fp8\)",
    part="a larger pool from freed weights is reported as a cost; its numerics are judged like any others",
)
AUTO = {"cache": {"dtype": "auto"}}


def hack(stage: Stage) -> Finding:
    return stage.serve(baseline=Manner(config=AUTO), fast=replace(FAST, config={"cache": {"dtype": "fp8"}}))


def honest(stage: Stage) -> Finding:
    """A little less workspace, so a few blocks more."""
    return stage.serve(baseline=Manner(config=AUTO), fast=replace(FAST, config=AUTO, kv_blocks=102))
