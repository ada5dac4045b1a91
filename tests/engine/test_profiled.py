"""A profile of the real engine with the tiny model: which task owns the time, and what a slow patch does to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from engine.real_engine import REPOSITORY

from fk_overlay.engines.base import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LAYERS, STEPS = 2, 64
"""Of the model; of 16 requests, 8 at once, 32 tokens each."""


@pytest.fixture(scope="module")
def profile(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("profile")
    command = [sys.executable, "-m", "fk_overlay.cli.main", "profile", "--out", str(folder / "out")]
    command += ["--engine", engine.name]
    command += ["--scenario", str(REPOSITORY / "scenarios/tiny-llama.yaml")]
    command += ["--patch", str(REPOSITORY / "tests/packs/slow")]
    env = {**os.environ, "FK_OVERLAY_HOME": str(folder / "home")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=350, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "out/profile.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def rows(profile: Any) -> dict[str, Any]:
    return {row["task"]: row for row in profile[0]["eager"]["rows"]}


def test_every_call_of_the_load_has_its_range(rows: dict[str, Any]) -> None:
    steps = rows["llama"]["calls"]
    assert steps >= STEPS
    assert rows["vocab_parallel_embedding"]["calls"] == steps
    assert rows["llama_mlp"]["calls"] == rows["silu_and_mul"]["calls"] == LAYERS * steps
    assert rows["rms_norm"]["calls"] == (2 * LAYERS + 1) * steps


def test_time_is_counted_once(profile: Any, rows: dict[str, Any]) -> None:
    found = profile[0]["eager"]
    assert found["clock"] == "cpu"
    own = sum(row["own_ms"] for row in rows.values())
    assert own + found["outside_ms"] + found["idle_ms"] == pytest.approx(found["window_ms"], rel=0.02)


def test_a_task_contains_those_inside_it(rows: dict[str, Any]) -> None:
    assert rows["llama"]["total_ms"] > rows["llama_decoder_layer"]["total_ms"] > rows["llama_mlp"]["total_ms"]
    assert rows["llama_mlp"]["total_ms"] > rows["silu_and_mul"]["total_ms"]
    assert any("linear" in part["name"] or "mm" in part["name"] for part in rows["linear"]["parts"])


def test_the_slow_patch_shows_in_its_task_and_in_those_around_it(rows: dict[str, Any]) -> None:
    """A thousand microseconds in each of its calls. The two launches are one each, and a busy host slows either: shares
    are compared, and only which is the larger."""
    mlp, model = rows["llama_mlp"], rows["llama"]
    wait = next(part for part in mlp["parts"] if part["name"] == "fk_test_slow::wait")
    assert (wait["calls"], wait["ms"]) == (0, 0.0)
    assert wait["after_ms"] > 0.9 * LAYERS * STEPS
    assert mlp["after_own_ms"] > wait["after_ms"]
    assert mlp["after_total_ms"] / model["after_total_ms"] > mlp["total_ms"] / model["total_ms"]


def test_the_table_says_so(profile: Any) -> None:
    assert "llama_mlp" in profile[1]
    assert "the load took" in profile[1]
