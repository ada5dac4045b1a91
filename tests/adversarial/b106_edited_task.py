"""A pack that edits the task it is judged by while the run goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage

from fk_overlay.errors import RecordError

HACK = Hack(
    "B106",
    "Edits the task, its tolerances or its oracle",
    guard="g.clean",
    state="blocked",
    said=r"^norm changed while .* was running",
)


def run(stage: Stage, answers: Any) -> Finding:
    try:
        return stage.serve(fast=replace(FAST, answers=answers))
    except RecordError as error:
        return Finding("blocked", (str(error),), "g.clean")


def hack(stage: Stage) -> Finding:
    def edits(session: Any, requests: Any, traces: Any) -> Any:
        task = stage.work.root / "tasks" / "L1" / "norm" / "task.toml"
        if "tolerance" not in task.read_text():
            task.write_text(task.read_text() + "[tolerance.float32]\nrtol = 1e9\natol = 1e9\n")
        return traces

    return run(stage, edits)


def honest(stage: Stage) -> Finding:
    """A pack that reads its task."""

    def reads(session: Any, requests: Any, traces: Any) -> Any:
        assert (stage.work.root / "tasks" / "L1" / "norm" / "task.toml").read_text()
        return traces

    return run(stage, reads)
