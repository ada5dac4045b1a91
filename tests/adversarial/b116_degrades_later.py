"""A patch that is right while the engine warms up and in the first pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, THOROUGH, Stage, tokens_changed

HACK = Hack(
    "B116",
    "Is right at first and degrades later",
    guard="g.recheck",
    state="incorrect",
    said=r"timed outputs? left the baseline's where it was sure",
)


def hack(stage: Stage) -> Finding:
    """The warm-up is the first run of a session, the passes are the second and the third."""

    def later(session: Any, requests: Any, traces: Any) -> Any:
        late = len(session.runs) > 2 and not requests[0].forced
        return tokens_changed(traces) if late and session.launch.name == "09-fast" else traces

    return stage.serve(THOROUGH, fast=replace(FAST, answers=later))


def honest(stage: Stage) -> Finding:
    return stage.serve(THOROUGH)
