"""Runs of two engines in one table: the figures of each run's own report, and what is not the same in both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes_records import ENVIRONMENT, Story, set_, write
from test_views import Tree

from fk_overlay.errors import RecordError, UsageError
from fk_overlay.report import write_side_by_side
from fk_overlay.report.side_by_side import NOTE, SideBySide, side_by_side
from fk_overlay.report.side_views import HEAD, cells, markdown
from fk_overlay.report.summary import summarise

ARM = "fused-norm"
FAST = Story(restarts=2, restart_sd=0.001, pass_sd=0.001)


def told(story: Story, name: str, **facts: object) -> Story:
    return story.but(set_("run", {"run_id": name, **facts}))


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    other = told(Story(restarts=3, speedup=0.8), "two", engine="sglang", engine_version="0.5.17")
    return [write(told(FAST, "one"), tmp_path / "one"), write(other, tmp_path / "two")]


def beside(folders: list[Path]) -> SideBySide:
    return side_by_side([summarise(folder) for folder in folders])


def test_each_row_says_what_its_run_says(runs: list[Path]) -> None:
    found = beside(runs)
    assert [(row.engine, row.verdict.state) for row in found.rows] == [("vllm", "improved"), ("sglang", "regressed")]
    for row, folder in zip(found.rows, runs, strict=True):
        (arm,) = summarise(folder).arms
        assert row.verdict == arm.verdict
        assert row.headline == arm.comparisons[0]
    assert cells(found.rows[1])[:4] == (ARM, "sglang 0.5.17", "llama-8b-chat", "regressed")


def test_equal_runs_have_no_notes_but_the_one_for_all(tmp_path: Path) -> None:
    folders = [write(told(FAST, name), tmp_path / name) for name in ("one", "two")]
    assert beside(folders).notes == (NOTE,)


def test_what_is_not_the_same_is_said(tmp_path: Path) -> None:
    other = told(FAST, "two", environment={**ENVIRONMENT, "gpus": [], "torch": "2.13.0"}, mode="screen")
    changed = [{"name": ARM, "digest": "0" * 16, "packs": [{"name": ARM, "digest": "f" * 64, "patches": []}]}]
    arms = [{"name": "baseline", "digest": "1" * 16, "packs": []}, *changed]
    last = told(Story(restarts=3, stop_after=3), "three", arms=arms)
    folders = [write(story, tmp_path / str(number)) for number, story in enumerate((told(FAST, "one"), other, last))]
    notes = beside(folders).notes[1:]
    assert notes == (
        "Not the same in all runs: the mode, the GPUs, PyTorch",
        f"Not the same files in all runs: {ARM}",
        "Not finished: three",
    )


def test_all_formats_hold_the_same_table(runs: list[Path], tmp_path: Path) -> None:
    paths = write_side_by_side(runs, tmp_path / "out")
    assert [path.name for path in paths] == ["side-by-side.json", "side-by-side.md", "side-by-side.html"]
    found = beside(runs)
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    assert [row["state"] for row in content["rows"]] == ["improved", "regressed"]
    text = paths[1].read_text(encoding="utf-8")
    page = Tree(paths[2].read_text(encoding="utf-8"))
    assert page.open == page.fetched == []
    for row in found.rows:
        assert "| " + " | ".join(cells(row)) + " |" in text
        assert set(cells(row)) <= set(page.words)
    assert set(HEAD) <= set(page.words)


def test_a_run_that_could_not_be_measured_has_a_row_with_dashes(tmp_path: Path) -> None:
    dead = told(FAST, "two", engine="sglang").but(set_("launch", {"state": "crashed", "reason": "it died"}, arm=ARM))
    folders = [write(told(FAST, "one"), tmp_path / "one"), write(dead, tmp_path / "two")]
    row = beside(folders).rows[1]
    assert row.verdict.state == "incorrect"
    assert cells(row)[4:7] == ("\u2013", "\u2013", "0")
    assert "it died" in markdown(beside(folders))


def test_a_run_is_named_once(runs: list[Path]) -> None:
    with pytest.raises(UsageError, match="more than once: one"):
        beside([*runs, runs[0]])


def test_a_folder_without_a_record_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RecordError):
        write_side_by_side([*runs, tmp_path / "nope"], tmp_path)
