"""Log-probabilities from a faithful path, tokens from a cheap one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage, tokens_changed

HACK = Hack(
    "B125",
    "Returns log-probabilities of a faithful path and tokens of a cheap one",
    guard="g.recheck",
    state="incorrect",
    said=r"timed outputs? left the baseline's where it was sure",
)


def hack(stage: Stage) -> Finding:
    def cheap(session: Any, requests: Any, traces: Any) -> Any:
        return traces if requests[0].logprobs else tokens_changed(traces)

    return stage.serve(fast=replace(FAST, answers=cheap))


def honest(stage: Stage) -> Finding:
    """Tokens of which the baseline was unsure may differ: the envelope allows for that."""
    from fakes_records import Story

    return stage.told(Story(noise=0.05, patched_noise=0.05))
