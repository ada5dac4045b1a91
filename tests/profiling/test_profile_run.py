"""Whole profiles of a toy engine in this process, with torch's own profiler."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from profile_toy import ToyEngine

from fk_overlay.capture import run as capture_run
from fk_overlay.core import Arm
from fk_overlay.errors import ContractError, LaunchError, UsageError
from fk_overlay.lineage.record import read
from fk_overlay.plan import Plan
from fk_overlay.profiling import run
from fk_overlay.profiling.attribution import Event
from fk_overlay.profiling.breakdown import Breakdown, Row
from fk_overlay.profiling.recorder import _kernels
from fk_overlay.report import profile as views


def quiet(what: str) -> None:
    pass


def by_task(found: Breakdown) -> dict[str, Row]:
    return {row.task: row for row in found.rows}


def test_every_seam_has_its_range_and_only_the_profiled_load_is_in_it(order: run.Order, tmp_path: Path) -> None:
    found = run.profile(order, tmp_path / "out", quiet)
    rows = by_task(found.eager)
    assert {task: row.calls for task, row in rows.items()} == dict.fromkeys(order.tasks, 3)
    assert rows["model"].total_ms > rows["layer"].total_ms > rows["gate"].total_ms > 0
    assert "aten::mul" in {part.name for part in rows["gate"].parts}
    assert (found.eager.clock, found.written, found.pack) == ("cpu", None, "")
    assert found.overhead == {"baseline": 1.0}


def test_own_time_outside_and_idle_make_up_the_window(order: run.Order, tmp_path: Path) -> None:
    found = run.profile(order, tmp_path / "out", quiet).eager
    parts = sum(row.own_ms for row in found.rows) + found.outside_ms + found.idle_ms
    assert parts == pytest.approx(found.window_ms, rel=0.02)


def test_a_patch_is_profiled_in_its_place(order: run.Order, slow: Arm, engine: ToyEngine, tmp_path: Path) -> None:
    found = run.profile(replace(order, arms=(*order.arms, slow)), tmp_path / "out", quiet)
    rows = by_task(found.eager)
    assert found.pack == "slow"
    assert rows["layer"].change is not None
    assert rows["layer"].change > 1
    assert rows["model"].after_total_ms is not None
    assert rows["model"].after_total_ms > rows["layer"].total_ms
    sort = next(part for part in rows["layer"].parts if part.name == "aten::sort")
    assert (sort.ms, sort.calls) == (0.0, 0)
    assert sort.after_ms is not None
    assert sort.after_ms > 0
    assert engine.stopped == 2


def test_the_engine_runs_eager(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    run.profile(order, tmp_path / "out", quiet)
    assert [launch.scenario.engine_args["toy"]["eager"] for launch in engine.starts] == [1]
    plan = Plan.read(engine.starts[0].plan)
    assert plan.purpose == "profile"
    assert plan.profile is not None
    assert {watch.task for watch in plan.profile.watches} == set(order.tasks)


def test_everything_is_on_record(order: run.Order, slow: Arm, tmp_path: Path) -> None:
    found = run.profile(replace(order, arms=(*order.arms, slow)), tmp_path / "out", quiet)
    records = list(read(tmp_path / "out"))
    kinds = [record["kind"] for record in records]
    assert kinds[0] == "profile"
    assert [record["arm"] for record in records if record["kind"] == "launch"] == ["baseline", "slow"]
    tasks = [record for record in records if record["kind"] == "task"]
    assert [record["task"] for record in tasks] == [row.task for row in found.eager.rows]
    assert all(record["at_most"] == pytest.approx(1 / (1 - record["share"])) for record in tasks)
    assert kinds.count("part") == sum(len(row.parts) for row in found.eager.rows)


def test_the_views_agree(
    order: run.Order,
    slow: Arm,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    found = run.profile(replace(order, arms=(*order.arms, slow)), tmp_path / "out", quiet)
    paths = views.write(found, tmp_path / "out")
    views.show(found, paths)
    said: dict[str, Any] = json.loads(paths[0].read_text())
    markdown, shown = paths[1].read_text(), capsys.readouterr().out
    for row, plain in zip(found.eager.rows, said["eager"]["rows"], strict=True):
        assert (plain["task"], plain["at_most"]) == (row.task, row.at_most)
        assert f"| {row.task} | L1 | 3 |" in markdown
        assert row.task in shown
    assert "| (nothing ran) |" in markdown
    assert "after ms" in shown


def test_a_folder_with_something_in_it_is_left_alone(order: run.Order, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/note").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        run.profile(order, tmp_path / "out", quiet)


def test_no_target_in_this_release(order: run.Order, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no task has a target in toy 1\.2\.0"):
        run.profile(replace(order, tasks={}), tmp_path / "out", quiet)


def test_a_target_that_is_not_what_its_task_describes_is_refused(
    order: run.Order, engine: ToyEngine, tmp_path: Path
) -> None:
    source = engine.root / "recorded_toy" / "layers.py"
    source.write_text(source.read_text().replace("return self.gate(x) * self.scale", "return self.gate(x)"))
    with pytest.raises(ContractError, match="forward_native: body"):
        run.profile(order, tmp_path / "out", quiet)


def test_a_failed_request_ends_the_profile(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    engine.error = "it broke"
    with pytest.raises(LaunchError, match="1 of 1 requests failed: it broke"):
        run.profile(order, tmp_path / "out", quiet)
    assert engine.stopped == 1


def test_a_rank_that_writes_nothing_is_hung(
    order: run.Order, engine: ToyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.listening = False
    monkeypatch.setattr(capture_run, "FLUSH_S", 0.2)
    with pytest.raises(LaunchError, match=r"ranks \[0\] did not write their profile"):
        run.profile(order, tmp_path / "out", quiet)


def test_kernels_alone_make_a_profile_and_nothing_is_none() -> None:
    seen = [Event("gemm", 10, 30, 0), Event("silu", 40, 45, 0)]
    assert _kernels(seen) == {"window_us": 35, "kernels": [["gemm", 20], ["silu", 5]]}
    with pytest.raises(ValueError, match="nothing ran on a device"):
        _kernels([])
