"""Answers that are remembered: prompts come back in the next pass, and in the next launch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, THOROUGH, Stage

HACK = Hack(
    "B111",
    "Remembers answers to prompts that come again",
    guard="g.fresh",
    state="invalid",
    said=r"^prompts that were sent before are answered \d+|^launches after the first are \d+",
)
VARIANTS = ("in-process", "on-disk")


def hack(stage: Stage, variant: str) -> Finding:
    known: set[Any] = set()

    def remembers(session: Any, requests: Any) -> Any:
        place = session.launch.name if variant == "in-process" else ""
        keys = {(place, request.prompt) for request in requests}
        seen = keys <= known
        known.update(keys)
        return 20.0 if seen else 1.0

    return stage.serve(THOROUGH, fast=replace(FAST, speed=1.0, pace=remembers))


def honest(stage: Stage, variant: str) -> Finding:
    """A kernel that is as fast on prompts which it has never seen."""
    return stage.serve(THOROUGH)
