"""Tensor parallelism on two ranks in the engine of this environment: every rank must prove that it ran the patch."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.real_engine import PACKS, scenario

from fk_overlay.core import Design, Verdict
from fk_overlay.engines.base import Engine
from fk_overlay.lineage.record import read
from fk_overlay.serving.judge import Order, candidates, run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
TASKS = {"rms_norm", "silu_and_mul", "llama_mlp"}


@pytest.fixture(scope="module")
def judged(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Verdict]]:
    """The run's folder, and the verdict of each pack after one launch of every arm."""
    folder = tmp_path_factory.mktemp("ranks")
    arms = candidates([PACKS / "identity", PACKS / "rank0-only"], engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FK_OVERLAY_HOME", str(folder / "home"))
        order = Order(engine, scenario("tiny-llama-tp2"), arms, "screen", Design(1, 1))
        found = run(order, folder / "run", lambda *what: None)
    return folder / "run", {verdict.arm: verdict for verdict in found}


def test_both_ranks_leave_receipts(judged: tuple[Path, dict[str, Verdict]]) -> None:
    receipts = [each for each in read(judged[0]) if each["kind"] == "receipt" and each["arm"] == "identity"]
    ran = {(each["rank"], each["task"]) for each in receipts if each["loaded"] and each["calls_in_passes"] > 0}
    assert ran == {(rank, task) for rank in (0, 1) for task in TASKS}
    assert {each["world_size"] for each in receipts if each["loaded"]} == {2}


def test_a_pack_that_runs_on_both_ranks_is_right(judged: tuple[Path, dict[str, Verdict]]) -> None:
    verdict = judged[1]["identity"]
    assert verdict.override is None, verdict.reasons
    assert verdict.correctness == pytest.approx(1.0)


def test_a_pack_that_runs_on_one_rank_is_not_engaged(judged: tuple[Path, dict[str, Verdict]]) -> None:
    verdict = judged[1]["rank0-only"]
    assert verdict.override == "not_engaged"
    assert "rank 1" in " ".join(verdict.reasons)
    assert "rank 0:" not in " ".join(verdict.reasons)
