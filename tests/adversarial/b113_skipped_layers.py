"""A patch that leaves out layers, experts or the far end of the context."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

HACK = Hack(
    "B113",
    "Skips layers or experts, shortens the attention window",
    guard="g.envelope",
    state="incorrect",
    said=r"tokens of the forced decode changed although the baseline was sure|^correctness 0\.\d+ is below",
)
VARIANTS = ("other-tokens", "drift")


def hack(stage: Stage, variant: str) -> Finding:
    """Half of the top tokens change; or none does, and the log-probabilities move by half a nat."""

    def skipped(session: Any, requests: Any, traces: Any) -> Any:
        if not requests[0].forced:
            return traces
        if variant == "drift":
            return [replace(each, logprobs=tuple(value - 0.5 for value in each.logprobs)) for each in traces]
        return [replace(each, top1=tuple(token + at % 2 for at, token in enumerate(each.top1))) for each in traces]

    return stage.serve(fast=replace(FAST, answers=skipped))


def honest(stage: Stage, variant: str) -> Finding:
    """Rounding: the log-probabilities move by a hundredth of a nat."""

    def rounded(session: Any, requests: Any, traces: Any) -> Any:
        return [replace(each, logprobs=tuple(value - 0.01 for value in each.logprobs)) for each in traces]

    return stage.serve(fast=replace(FAST, answers=rounded))
