"""One summary for all views, of finished and unfinished runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from fakes_records import CONFIG, SCENARIO, Story, drop, records, set_, write

from fk_overlay.core import BASELINE
from fk_overlay.errors import RecordError
from fk_overlay.lineage.record import Recorder
from fk_overlay.report.summary import summarise
from fk_overlay.scoring.verdict import judge

ARM = "fused-norm"


def test_the_scenario_comes_back_whole(tmp_path: Path) -> None:
    found = summarise(write(Story(restarts=2), tmp_path))
    assert found.scenario == SCENARIO
    assert found.finished
    assert found.notes == ()
    assert found.command == "fk-overlay run fused-norm --scenario llama-8b-chat --mode decide"
    assert found.environment["gpus"] == "1 \u00d7 NVIDIA H100 80GB HBM3, driver 570.86.15"
    assert found.settings["cache.block_size"] == 16


def test_the_verdict_is_that_of_the_judge(tmp_path: Path) -> None:
    story = Story()
    found = summarise(write(story, tmp_path))
    assert [arm.verdict for arm in found.arms] == judge(records(story), SCENARIO)
    assert found.counts == {"improved": 1}
    assert found.restart_sd == pytest.approx(0.0085, abs=2e-4)


def test_a_comparison_shows_means_that_make_up_its_ratio(tmp_path: Path) -> None:
    (arm,) = summarise(write(Story(restarts=3), tmp_path)).arms
    by_metric = {row.metric: row for row in arm.comparisons if row.workload == "chat-c32"}
    assert list(by_metric)[:2] == ["output_throughput", "request_throughput"]
    fast, slow = by_metric["output_throughput"], by_metric["ttft_p50"]
    assert fast.effect is arm.verdict.effect
    assert fast.baseline
    assert fast.candidate
    assert fast.effect
    assert slow.effect
    assert fast.candidate / fast.baseline == pytest.approx(fast.effect.ratio)
    assert (slow.baseline or 0) / (slow.candidate or 1) == pytest.approx(slow.effect.ratio)
    failed = by_metric["failed_requests"]
    assert (failed.baseline, failed.candidate, failed.effect) == (0.0, 0.0, None)


def test_an_interrupted_run_is_summarised_and_says_so(tmp_path: Path) -> None:
    found = summarise(write(Story(stop_after=3), tmp_path))
    assert not found.finished
    assert found.pairs == 1
    assert found.notes == (
        "This run is not finished: 3 of 10 launches are over",
        "Noted while it ran: interrupted; go on with --resume",
    )


def test_a_run_in_which_every_candidate_failed_is_finished(tmp_path: Path) -> None:
    crash = set_("launch", {"state": "crashed"}, arm=ARM)
    found = summarise(write(Story(stop_after=2).but(crash, drop("note")), tmp_path))
    assert found.finished
    assert found.arms[0].verdict.state == "incorrect"


def test_a_run_that_died_in_its_first_launch(tmp_path: Path) -> None:
    found = summarise(write(Story(stop_after=0), tmp_path))
    assert (found.launches, found.settings, found.restart_sd, found.pairs) == ((), {}, None, 0)
    assert found.counts == {"unresolved": 1}


def test_a_verdict_on_record_that_no_longer_holds_is_named(tmp_path: Path) -> None:
    story = Story()
    folder = write(story, tmp_path)
    (verdict,) = judge(records(story), SCENARIO)
    with Recorder(folder) as recorder:
        recorder.add("verdict", **{**asdict(verdict), "state": "regressed"})
    assert summarise(folder).notes == ("The record calls fused-norm regressed; judged again it is improved",)


def test_a_torn_last_line_does_not_matter(tmp_path: Path) -> None:
    folder = write(Story(restarts=2), tmp_path)
    with (folder / "records.jsonl").open("a") as file:
        file.write('{"kind":"sample","laun')
    assert summarise(folder).pairs == 2


def test_differences_are_kept_by_arm(tmp_path: Path) -> None:
    other = set_("launch", {"config": {**CONFIG, "dtype": "float16"}}, arm=ARM)
    (arm,) = summarise(write(Story(restarts=2).but(other), tmp_path)).arms
    assert arm.difference == {"dtype": ("bfloat16", "float16")}
    assert arm.headline.keys() == {BASELINE, ARM}


@pytest.mark.parametrize("scenario", ["llama", {"name": "llama"}])
def test_an_unreadable_scenario_is_refused(scenario: object, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no readable scenario"):
        summarise(write(Story(restarts=2).but(set_("run", {"scenario": scenario})), tmp_path))
