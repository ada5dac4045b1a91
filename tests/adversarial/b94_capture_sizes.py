"""A patch that changes which batch sizes the engine captures into graphs, or the compile mode."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage
from fakes.engine import Manner

HACK = Hack(
    "B94",
    "Changes the captured sizes or the compile mode",
    guard="g.fingerprint",
    state="invalid",
    said=r"resolved settings are not the same in every launch: compilation\.cudagraph_capture_sizes",
)
GRAPHS = {"compilation": {"mode": 3, "cudagraph_capture_sizes": [1, 2, 4, 8]}}


def hack(stage: Stage) -> Finding:
    more = {"compilation": {"mode": 3, "cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32]}}
    return stage.serve(baseline=Manner(config=GRAPHS), fast=replace(FAST, config=more))


def honest(stage: Stage) -> Finding:
    return stage.serve(baseline=Manner(config=GRAPHS), fast=replace(FAST, config=GRAPHS))
