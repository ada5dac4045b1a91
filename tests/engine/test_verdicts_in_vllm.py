"""One run in the real vLLM, with one honest pack and one for every way to be bad; each must get the verdict it
deserves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("vllm", reason="the real engine is what is tested here")
pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).parents[2]
PACKS = REPOSITORY / "tests/packs"
EXPECTED = {
    "identity": None,
    "wrong": "incorrect",
    "wrong-shape": "incorrect",
    "wrong-dtype": "incorrect",
    "corrupting": "incorrect",
    "crashing": "incorrect",
    "dying": "incorrect",
    "hanging": "incorrect",
    "never-engaged": "not_engaged",
    "absent-target": "not_engaged",
}
PASS_S = 30.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run's folder, its exit code and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    text = (REPOSITORY / "scenarios/tiny-llama.yaml").read_text(encoding="utf-8")
    text = text.replace("../tests/models", str(REPOSITORY / "tests/models")).replace("pass_s: 120", f"pass_s: {PASS_S}")
    assert f"pass_s: {PASS_S}" in text
    scenario = folder / "tiny-llama.yaml"
    scenario.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "fk_overlay.cli.main", "run", "--scenario", str(scenario), "--mode", "screen"]
    command += ["--passes", "1", "--out", str(folder / "run")]
    command += [word for pack in EXPECTED for word in ("--patch", str(PACKS / pack))]
    # By 1 % a norm is no further off than bfloat16 rounding elsewhere, and the served model cannot tell: twice it can.
    env = {**os.environ, "FK_OVERLAY_HOME": str(folder / "home"), "FK_TEST_FACTOR": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1500, check=False)
    assert (folder / "run/report.json").is_file(), done.stdout + done.stderr
    return folder / "run", done


def verdicts(folder: Path) -> dict[str, Any]:
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = map(json.loads, lines)
    return {record["arm"]: record for record in records if record["kind"] == "verdict"}


@pytest.mark.timeout(1600)
@pytest.mark.parametrize(("pack", "override"), EXPECTED.items(), ids=EXPECTED)
def test_the_verdict(finished: Any, pack: str, override: str | None) -> None:
    verdict = verdicts(finished[0])[pack]
    assert verdict["override"] == override, verdict["reasons"]


def test_the_honest_pack_is_right(finished: Any) -> None:
    assert verdicts(finished[0])["identity"]["correctness"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("pack", "word"), [("crashing", "as it was told to"), ("hanging", "within"), ("never-engaged", "engine's own code")]
)
def test_the_reason_says_what_happened(finished: Any, pack: str, word: str) -> None:
    assert word in " ".join(verdicts(finished[0])[pack]["reasons"])


def test_the_log_says_where_a_kernel_hangs(finished: Any) -> None:
    (log,) = (finished[0] / "launches").glob("*-hanging/engine.log")
    assert str(PACKS / "hanging") in log.read_text(encoding="utf-8")


def test_the_exit_code_is_the_worst(finished: Any) -> None:
    assert finished[1].returncode == 5


def test_nothing_is_left_running(finished: Any) -> None:
    marks = str(finished[0])
    left = []
    for process in psutil.process_iter(["pid", "environ"]):
        if marks in (process.info["environ"] or {}).get("FK_OVERLAY", ""):
            left.append(process.pid)
    assert left == []


def test_every_launch_is_on_record_with_its_log(finished: Any) -> None:
    folder = finished[0]
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    launches = [record for record in records if record["kind"] == "launch"]
    assert len(launches) >= 2 * 2 + len(EXPECTED) - 1
    assert all((folder / launch["log"]).is_file() for launch in launches)
