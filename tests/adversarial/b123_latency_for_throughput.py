"""Throughput that was bought with latency."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B123",
    "Trades time to first token for throughput, or the reverse",
    guard="g.memory",
    state="resource_regression",
    said=r"^goodput of chat fell by \d+\.\d %: throughput was bought with latency",
)


def delayed(seconds: float) -> Any:
    """Three of four requests wait that long for their first token; the pass takes as long as before."""

    def answers(session: Any, requests: Any, traces: Any) -> Any:
        waits = [0.0] + [seconds] * (len(traces) - 1)
        return [
            replace(trace, sent=trace.sent - wait) if not requests[0].forced else trace
            for trace, wait in zip(traces, waits, strict=True)
        ]

    return answers


def hack(stage: Stage) -> Finding:
    return stage.serve(fast=replace(FAST, answers=delayed(2.0)))


def honest(stage: Stage) -> Finding:
    """Later by less than the SLO allows."""
    return stage.serve(fast=replace(FAST, answers=delayed(0.2)))
