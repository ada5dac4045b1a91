from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fk_overlay.capture import run
from fk_overlay.cli.main import app
from fk_overlay.errors import UsageError

SCENARIO = str(Path(__file__).parents[2] / "scenarios/tiny-llama.yaml")


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["capture", "--scenario", SCENARIO, *words])


def test_help_says_that_the_engine_runs_eager() -> None:
    shown = CliRunner().invoke(app, ["capture", "--help"])
    assert shown.exit_code == 0
    assert "eager" in shown.output


def test_an_unknown_task_is_named() -> None:
    assert "no task called 'nonsense'" in str(invoke("--task", "nonsense").exception)


def test_the_order_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[run.Order, Path]] = []

    def note(order: run.Order, folder: Path, tell: run.Tell) -> None:
        asked.append((order, folder))
        raise UsageError("that is enough")

    monkeypatch.setattr(run, "capture", note)
    words = ["--task", "rms_norm", "--task", "linear", "--budget", "3", "--samples", "5", "--requests", "4"]
    done = invoke(*words, "--manifest", "jsonl", "--no-graph-sizes", "--out", str(tmp_path / "x"))
    assert "that is enough" in str(done.exception)
    ((order, folder),) = asked
    assert folder == tmp_path / "x"
    assert [task.name for task in order.tasks] == ["rms_norm", "linear"]
    assert (order.budget_bytes, order.samples, order.form, order.sizes) == (3 << 20, 5, "jsonl", False)
    assert {name: len(each) for name, each in order.requests.items()} == {"decode": 4, "latency": 1}
    sent = [request.prompt for load in (order.requests, order.quiet) for each in load.values() for request in each]
    sent += [request.prompt for request in order.warm_up]
    assert len(set(sent)) == len(sent)
