"""Tidy frames: one observation a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes_records import TOKENS, Story, drop, set_, write

from fk_overlay.errors import RecordError
from fk_overlay.report.frame import REQUEST, SAMPLE, frame, request_frame, tpot

STORY = Story(restarts=2)


def test_samples_are_one_value_a_row(tmp_path: Path) -> None:
    found = frame(write(STORY, tmp_path))
    assert list(found.columns) == SAMPLE
    assert len(found) == 2 * 2 * 2 * 2 * 16
    assert not found.duplicated(["launch", "pass", "workload", "metric"]).any()
    assert set(found["run_id"]) == {"20260301-101500-llama-8b-chat-fused-norm-a1b2"}
    wide = found[found["metric"] == "output_throughput"].groupby("arm")["value"].median()
    assert 1.0 < wide["fused-norm"] / wide["baseline"] < 1.2


def test_unfinished_and_failed_launches_are_left_out(tmp_path: Path) -> None:
    crashed = set_("launch", {"state": "crashed"}, launch="00-baseline")
    found = frame(write(Story(restarts=2, stop_after=2).but(crashed), tmp_path))
    assert set(found["launch"]) == {"01-fused-norm"}


def test_requests_carry_their_latencies(tmp_path: Path) -> None:
    found = request_frame(write(STORY, tmp_path))
    assert list(found.columns) == REQUEST
    assert len(found) == 2 * 2 * 2 * (24 + 16)
    assert set(found["tokens"]) == {TOKENS}
    row = found.iloc[0]
    assert row["tpot_s"] == pytest.approx(sum(row["itl_s"]) / (TOKENS - 1), abs=1e-6)
    assert row["latency_s"] == pytest.approx(row["ttft_s"] + sum(row["itl_s"]), abs=1e-4)


def test_requests_without_a_second_token_or_without_times_have_no_tpot() -> None:
    assert tpot({"tokens": [1], "ttft_s": 0.1, "latency_s": 0.1}) is None
    assert tpot({"tokens": [1, 2], "ttft_s": None, "latency_s": None}) is None
    assert tpot({"tokens": [1, 2, 3], "ttft_s": 0.1, "latency_s": 0.5}) == pytest.approx(0.2)


def test_a_run_without_samples_gives_an_empty_frame(tmp_path: Path) -> None:
    found = frame(write(STORY.but(drop("sample")), tmp_path))
    assert found.empty
    assert list(found.columns) == SAMPLE


def test_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no"):
        frame(tmp_path)
