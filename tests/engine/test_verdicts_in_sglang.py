"""One run in the real SGLang, with one honest pack and bad ones; each must get the verdict it deserves."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from engine.real_engine import PACKS, REPOSITORY, Finished, only, run

pytestmark = [pytest.mark.engine, only("sglang"), pytest.mark.timeout(1600)]

EXPECTED = {
    "identity": None,
    "wrong": "incorrect",
    "crashing": "incorrect",
    "dying": "incorrect",
    "hanging": "incorrect",
}
"""SGLang takes a quarter of a minute to start: only the packs whose failure is another one in its processes."""
PASS_S = 30.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    text = (REPOSITORY / "scenarios/tiny-llama.yaml").read_text(encoding="utf-8")
    text = text.replace("../tests/models", str(REPOSITORY / "tests/models")).replace("pass_s: 120", f"pass_s: {PASS_S}")
    assert f"pass_s: {PASS_S}" in text
    (folder / "tiny-llama.yaml").write_text(text, encoding="utf-8")
    words = ["--engine", "sglang", "--scenario", str(folder / "tiny-llama.yaml"), "--mode", "screen", "--passes", "1"]
    words += [word for pack in EXPECTED for word in ("--patch", str(PACKS / pack))]
    # By 1 % a norm is no further off than bfloat16 rounding elsewhere, and the served model cannot tell: twice it can.
    return run(folder, *words, env={"FK_TEST_FACTOR": "2"})


@pytest.mark.parametrize(("pack", "override"), EXPECTED.items(), ids=EXPECTED)
def test_the_verdict(finished: Finished, pack: str, override: str | None) -> None:
    verdict = finished.verdicts()[pack]
    assert verdict["override"] == override, verdict["reasons"]


def test_the_honest_pack_is_right(finished: Finished) -> None:
    assert finished.verdicts()["identity"]["correctness"] == pytest.approx(1.0)


def test_the_baseline_agrees_with_itself(finished: Finished) -> None:
    """Token by token: forced at full and at half the concurrency, in two launches."""
    forced = [record for record in finished.records("forced") if record["arm"] == "baseline"]
    assert {(record["restart"], record["variant"]) for record in forced} == {
        (restart, variant) for restart in (0, 1) for variant in ("same", "half")
    }
    assert all(record["top1"] == record["tokens"] for record in forced)


@pytest.mark.parametrize(("pack", "word"), [("crashing", "as it was told to"), ("hanging", "within")])
def test_the_reason_says_what_happened(finished: Finished, pack: str, word: str) -> None:
    assert word in " ".join(finished.verdicts()[pack]["reasons"])


def test_the_exit_code_is_the_worst(finished: Finished) -> None:
    assert finished.done.returncode == 5


def test_nothing_is_left_running(finished: Finished) -> None:
    mark = str(Path(finished.folder))
    left = psutil.process_iter(["pid", "environ"])
    assert [each.pid for each in left if mark in (each.info["environ"] or {}).get("FK_OVERLAY", "")] == []
