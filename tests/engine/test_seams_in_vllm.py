"""The seams that no class or function is swapped through, in the real vLLM: intermediate representation and model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="the real engine is what is tested here")
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
PACKS = ("ir-identity", "model-identity")
SEAMS = {"ir_rms_norm": "ir", "ir_fused_add_rms_norm": "ir", "llama": "model"}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "fk_overlay.cli.main", "run", "--mode", "screen", "--passes", "1"]
    command += ["--scenario", str(REPOSITORY / "scenarios/tiny-llama.yaml"), "--out", str(folder / "run")]
    command += [word for pack in PACKS for word in ("--patch", str(REPOSITORY / "tests/packs" / pack))]
    env = {**os.environ, "FK_OVERLAY_HOME": str(folder / "home")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=800, check=False)
    record = folder / "run/records.jsonl"
    assert record.is_file(), done.stdout + done.stderr
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("pack", PACKS)
def test_the_engines_own_code_is_right_through_every_seam(records: list[dict[str, Any]], pack: str) -> None:
    (verdict,) = (record for record in records if record["kind"] == "verdict" and record["arm"] == pack)
    assert verdict["override"] is None, verdict["reasons"]
    assert verdict["correctness"] == pytest.approx(1.0)


@pytest.mark.parametrize(("task", "seam"), SEAMS.items(), ids=SEAMS)
def test_the_load_ran_through_the_seam_in_every_launch(records: list[dict[str, Any]], task: str, seam: str) -> None:
    receipts = [record for record in records if record["kind"] == "receipt" and record["task"] == task]
    assert len(receipts) == 2
    assert {receipt["seam"] for receipt in receipts} == {seam}
    assert all(receipt["calls_in_passes"] > 0 and receipt["errors"] == [] for receipt in receipts)
