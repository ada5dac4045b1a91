"""A kernel that writes into the KV cache of other requests: each is right alone, and wrong in company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage, tokens_changed

HACK = Hack(
    "B40",
    "Corrupts the KV cache or block table of other requests in the batch",
    guard="g.recheck",
    state="incorrect",
    said=r"timed outputs? left the baseline's where it was sure",
)


def hack(stage: Stage) -> Finding:
    def in_company(session: Any, requests: Any, traces: Any) -> Any:
        return tokens_changed(traces, lambda index: index % 2 == 0) if not requests[0].forced else traces

    return stage.serve(fast=replace(FAST, answers=in_company))


def honest(stage: Stage) -> Finding:
    return stage.serve()
