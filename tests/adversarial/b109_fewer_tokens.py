"""An engine that stops early: fewer tokens take less time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B109",
    "Stops early, or ignores how many tokens were asked for",
    guard="g.outproc",
    state="incorrect",
    said=r"timed requests failed, the first: request \d of chat in launch 01-fast returned (15|20) of 16 tokens",
)
VARIANTS = ("fewer", "more")


def hack(stage: Stage, variant: str) -> Finding:
    def wrong_count(session: Any, requests: Any, traces: Any) -> Any:
        if requests[0].forced:
            return traces
        if variant == "fewer":
            return [replace(each, tokens=each.tokens[:-1], arrivals=each.arrivals[:-1]) for each in traces]
        last = {each.index: each.arrivals[-1:] * 4 for each in traces}
        return [
            replace(each, tokens=(*each.tokens, 1, 1, 1, 1), arrivals=(*each.arrivals, *last[each.index]))
            for each in traces
        ]

    return stage.serve(fast=replace(FAST, answers=wrong_count))


def honest(stage: Stage, variant: str) -> Finding:
    return stage.serve()
