"""The real engines: their kernels are called as tuning calls them, and they read what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from engine.real_engine import only

from fk_overlay.tuning import files
from fk_overlay.tuning.config import Config

HERE = Path(__file__).parent
CARD = "NVIDIA H100 80GB HBM3"
FILE = "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json"
SMALL, LARGE = Config(16, 64, 128, 1, 4, 5), Config(64, 128, 64, 8, 8, 4)

pytestmark = pytest.mark.engine
in_vllm, in_sglang = only("vllm"), only("sglang")


def said(program: str, *arguments: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / program), *arguments]
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


@in_vllm
def test_vllms_kernels_are_called_as_it_calls_them() -> None:
    found = said("interpreted_vllm.py", TRITON_INTERPRET="1")
    assert found["distance"] < 0.002
    assert found["seconds"] > 0
    assert set(Config.parse(found["baseline"]).engine()) <= set(found["baseline"])
    assert found["baseline_after_a_failure"] == found["baseline"]
    assert found["refused"] == [None, "its result is 0.5 of the norm away from the baseline's"]


@in_vllm
def test_vllm_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm import envs
    from vllm.model_executor.layers.fused_moe import fused_moe

    monkeypatch.setattr(fused_moe, "get_device_name_as_file_name", lambda: CARD.replace(" ", "_"))
    name = fused_moe.get_config_file_name(128, 768, None)
    assert name == FILE
    files.write(tmp_path / name, {1: SMALL, 256: LARGE}, "3.6.0")
    monkeypatch.setenv("VLLM_TUNED_CONFIG_FOLDER", str(tmp_path))
    if hasattr(envs, "disable_envs_cache"):
        envs.disable_envs_cache()
    fused_moe.get_moe_configs.cache_clear()
    shapes = (128, 1536, 2048), (128, 2048, 768)
    try:
        assert fused_moe.try_get_optimal_moe_config(*shapes, 8, None, 3) == SMALL.engine()
        assert fused_moe.try_get_optimal_moe_config(*shapes, 8, None, 4096) == LARGE.engine()
    finally:
        fused_moe.get_moe_configs.cache_clear()


@in_sglang
def test_sglangs_kernels_are_called_as_it_calls_them() -> None:
    found = said("interpreted_sglang.py", TRITON_INTERPRET="1", SGLANG_USE_CPU_ENGINE="1")
    assert found["kernel"] == "InterpretedFunction"
    assert max(found["distances"]) < 0.002
    assert found["depths"] == [32, 32, 64, 64]
    assert found["timed"] == [[1.0, ""], [1.0, ""]]
    assert found["after"] == found["before"]


@in_sglang
def test_sglang_reads_what_is_written(tmp_path: Path) -> None:
    version = metadata.version("triton").replace(".", "_")
    files.write(tmp_path / "configs" / f"triton_{version}" / FILE, {1: SMALL, 256: LARGE}, None)
    found = said("asked_sglang.py", CARD, str(tmp_path), SGLANG_USE_CPU_ENGINE="1")
    assert found["file"] == FILE
    assert Config.parse(found["before"]) not in (SMALL, LARGE)
    assert found["after"] == LARGE.engine()
