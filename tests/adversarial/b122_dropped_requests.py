"""A patch whose engine drops slow requests, or answers in another order and hopes that nobody counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B122",
    "Drops, rejects or duplicates requests",
    guard="g.outproc",
    state="incorrect",
    said=r"holds 3 of the 4 requests sent|timed requests failed, the first: request 3 .* rejected",
)
VARIANTS = ("dropped", "rejected", "twice")


def hack(stage: Stage, variant: str) -> Finding:
    def fewer(session: Any, requests: Any, traces: Any) -> Any:
        if requests[0].forced:
            return traces
        first, *_, last = traces
        changed = {
            "dropped": [],
            "rejected": [replace(last, tokens=(), arrivals=(), error="rejected: too slow")],
            "twice": [replace(first)],
        }
        return [*traces[:-1], *changed[variant]]

    return stage.serve(fast=replace(FAST, answers=fewer))


def honest(stage: Stage, variant: str) -> Finding:
    """Answers that arrive in another order."""

    def reordered(session: Any, requests: Any, traces: Any) -> Any:
        return traces if requests[0].forced else traces[::-1]

    return stage.serve(fast=replace(FAST, answers=reordered))
