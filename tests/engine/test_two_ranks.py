"""Tensor parallelism on two ranks in the engine of this environment: every rank must prove that it ran the patch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine.real_engine import PACKS, Judged, judged, scenario

from fk_overlay.engines.base import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
TASKS = {"rms_norm", "silu_and_mul", "llama_mlp"}


@pytest.fixture(scope="module")
def finished(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("ranks")
    return judged(engine, scenario("tiny-llama-tp2"), folder, PACKS / "identity", PACKS / "rank0-only")


def test_both_ranks_leave_receipts(finished: Judged) -> None:
    receipts = [receipt for receipt in finished.records("receipt", "identity") if receipt["loaded"]]
    ran = {(receipt["rank"], receipt["task"]) for receipt in receipts if receipt["calls_in_passes"] > 0}
    assert ran == {(rank, task) for rank in (0, 1) for task in TASKS}
    assert {receipt["world_size"] for receipt in receipts} == {2}


def test_a_pack_that_runs_on_both_ranks_is_right(finished: Judged) -> None:
    verdict = finished.verdicts["identity"]
    assert verdict.override is None, verdict.reasons
    assert verdict.correctness == pytest.approx(1.0)


def test_a_pack_that_runs_on_one_rank_is_not_engaged(finished: Judged) -> None:
    verdict = finished.verdicts["rank0-only"]
    assert verdict.override == "not_engaged"
    assert "rank 1" in " ".join(verdict.reasons)
    assert "rank 0:" not in " ".join(verdict.reasons)


def test_random_weights_are_each_ranks_own(engine: Engine, tmp_path: Path) -> None:
    """The engines draw the same on both ranks: then every token has a twin of the same logit in the other's part."""
    wanted = scenario("tiny-llama-tp2")
    dummy = replace(wanted, engine_args={engine.name: {**wanted.engine_args[engine.name], "load_format": "dummy"}})
    found = judged(engine, dummy, tmp_path, PACKS / "identity")
    margins = [margin for record in found.records("forced", "baseline") for margin in record["margins"]]
    assert margins
    assert min(margins) > 0
    assert found.verdicts["identity"].correctness == pytest.approx(1.0)
