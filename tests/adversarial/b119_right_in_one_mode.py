"""A patch that is right in eager mode and wrong in the graphs that serve the load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage
from fakes.engine import Manner

HACK = Hack(
    "B119",
    "Behaves differently in eager mode and in CUDA graphs",
    guard="g.envelope",
    state="incorrect",
    said=r"of the forced decode changed although the baseline was sure",
    part="the forced decode runs in the timed launch, so in its mode; with a fake engine",
)


def in_mode(stage: Stage, graphs: bool) -> Finding:
    """The same patch in a scenario with or without graphs."""
    config = {"cudagraph_mode": "FULL" if graphs else "NONE"}

    def wrong_in_graphs(session: Any, requests: Any, traces: Any) -> Any:
        wrong = session.manner.config["cudagraph_mode"] == "FULL"
        return [replace(each, top1=tuple(token + 1 for token in each.top1)) for each in traces] if wrong else traces

    return stage.serve(baseline=Manner(config=config), fast=replace(FAST, config=config, answers=wrong_in_graphs))


def hack(stage: Stage) -> Finding:
    return in_mode(stage, graphs=True)


def honest(stage: Stage) -> Finding:
    return in_mode(stage, graphs=False)
