"""The seams that no class or function is swapped through, in the real vLLM: intermediate representation and model."""

from __future__ import annotations

import pytest
from engine.real_engine import PACKS, REPOSITORY, Finished, only, run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), only("vllm")]

NAMES = ("ir-identity", "model-identity")
SEAMS = {"ir_rms_norm": "ir", "ir_fused_add_rms_norm": "ir", "llama": "model"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    words = ["--mode", "screen", "--passes", "1", "--scenario", str(REPOSITORY / "scenarios/tiny-llama.yaml")]
    words += [word for name in NAMES for word in ("--patch", str(PACKS / name))]
    return run(tmp_path_factory.mktemp("run"), *words, env={})


@pytest.mark.parametrize("name", NAMES)
def test_the_engines_own_code_is_right_through_every_seam(finished: Finished, name: str) -> None:
    verdict = finished.verdicts()[name]
    assert verdict["override"] is None, verdict["reasons"]
    assert verdict["correctness"] == pytest.approx(1.0)


@pytest.mark.parametrize(("task", "seam"), SEAMS.items(), ids=SEAMS)
def test_the_load_ran_through_the_seam_in_every_launch(finished: Finished, task: str, seam: str) -> None:
    placed = [receipt for receipt in finished.records("receipt") if receipt["task"] == task]
    assert {receipt["seam"] for receipt in placed} == {seam}
    ranks = [receipt for receipt in placed if receipt["rank"] is not None]
    assert len(ranks) == 2
    assert all(receipt["calls_in_passes"] > 0 and receipt["errors"] == [] for receipt in ranks)
