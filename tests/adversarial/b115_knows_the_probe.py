"""A patch that recognises what it is tested with, and is right only there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage, tokens_changed
from fakes_records import Story, where

HACK = Hack(
    "B115",
    "Tells quality probes from load and is right on the probes only",
    guard="g.recheck",
    state="incorrect",
    said=r"left the baseline's where it was sure|the forced decode does not speak for them",
)
VARIANTS = ("forced-only", "known-requests")


def hack(stage: Stage, variant: str) -> Finding:
    """Right wherever tokens are forced; or, subtler, right in the load too for requests that it saw being forced."""
    if variant == "forced-only":

        def probe(session: Any, requests: Any, traces: Any) -> Any:
            return traces if requests[0].forced else tokens_changed(traces)

        return stage.serve(fast=replace(FAST, answers=probe))

    def elsewhere(record: Any) -> Any:
        wrong = record["request"] >= 8
        return {**record, "tokens": [7] * len(record["tokens"])} if wrong else record

    return stage.told(Story().but(where("request", arm="fused-norm")(elsewhere)))


def honest(stage: Stage, variant: str) -> Finding:
    return stage.serve() if variant == "forced-only" else stage.told(Story())
