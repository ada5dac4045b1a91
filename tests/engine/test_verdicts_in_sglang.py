"""The real SGLang with one honest pack and bad ones; each must get the verdict it deserves."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest
from engine.real_engine import PACKS, Judged, judged, only, scenario

from fk_overlay.core import Limits
from fk_overlay.engines.base import Engine

pytestmark = [pytest.mark.engine, only("sglang"), pytest.mark.timeout(1600)]

EXPECTED = {
    "identity": None,
    "wrong": "incorrect",
    "crashing": "incorrect",
    "dying": "incorrect",
    "hanging": "incorrect",
}
"""SGLang takes a quarter of a minute to start: only the packs whose failure is another one in its processes."""


@pytest.fixture(scope="module")
def finished(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    wanted = replace(scenario("tiny-llama"), limits=Limits(start_s=300, pass_s=60))
    with pytest.MonkeyPatch.context() as patch:
        # By 1 % a norm is no further off than bfloat16 rounding elsewhere; twice it is, and the served model can tell.
        patch.setenv("FK_TEST_FACTOR", "2")
        return judged(engine, wanted, tmp_path_factory.mktemp("run"), *(PACKS / pack for pack in EXPECTED))


@pytest.mark.parametrize(("pack", "override"), EXPECTED.items(), ids=EXPECTED)
def test_the_verdict(finished: Judged, pack: str, override: str | None) -> None:
    verdict = finished.verdicts[pack]
    assert verdict.override == override, verdict.reasons


def test_the_honest_pack_is_right(finished: Judged) -> None:
    assert finished.verdicts["identity"].correctness == pytest.approx(1.0)


def test_the_baseline_agrees_with_itself(finished: Judged) -> None:
    """Token by token: forced at full and at half the concurrency."""
    forced = finished.records("forced", "baseline")
    assert {record["variant"] for record in forced} == {"same", "half"}
    assert all(record["top1"] == record["tokens"] for record in forced)


@pytest.mark.parametrize(("pack", "word"), [("crashing", "as it was told to"), ("hanging", "within")])
def test_the_reason_says_what_happened(finished: Judged, pack: str, word: str) -> None:
    assert word in " ".join(finished.verdicts[pack].reasons)


def test_the_log_says_where_a_kernel_hangs(finished: Judged) -> None:
    (log,) = (finished.folder / "launches").glob("*-hanging/engine.log")
    assert str(PACKS / "hanging") in log.read_text(encoding="utf-8")


def test_nothing_is_left_running(finished: Judged) -> None:
    left = psutil.process_iter(["pid", "environ"])
    mark = str(finished.folder)
    assert [each.pid for each in left if mark in (each.info["environ"] or {}).get("FK_OVERLAY", "")] == []
