"""A pack of kernel configurations and vLLM's own lookup, in a process with the overlay in it: no server gets there on a
CPU, whose experts ask for nothing."""

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

from fk_overlay.overlay.receipts import collect
from fk_overlay.tuned import unanswered

pytestmark = [pytest.mark.engine, only("vllm"), pytest.mark.timeout(300)]

H100, H200 = "NVIDIA_H100_80GB_HBM3", "NVIDIA_H200"
OURS = {"1": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 128}, "64": {"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 256}}
PACK = """
name = "tuned"
summary = "Kernel configurations of one shape on one GPU."

[[patch]]
task = "fused_experts"
file = "configs"
seam = "tuning"
"""


def file(experts: int, inner: int, gpu: str) -> str:
    return f"E={experts},N={inner},device_name={gpu}.json"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "tuned"
    (folder / "configs").mkdir(parents=True)
    (folder / "pack.toml").write_text(PACK)
    held = {"triton_version": metadata.version("triton"), **OURS}
    (folder / "configs" / file(128, 768, H100)).write_text(json.dumps(held))
    return folder


def look_up(pack: Path, receipts: Path, *asked: str) -> tuple[list[Any], dict[str, Any]]:
    """What vLLM answered to ``experts,inner,gpu``, and the receipt of the process."""
    env = {**os.environ, "FK_OVERLAY": str(pack), "FK_OVERLAY_RECEIPTS": str(receipts)}
    script = str(Path(__file__).with_name("vllm_live_tuning.py"))
    done = subprocess.run(
        [sys.executable, script, *asked], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (receipt,) = collect(receipts)
    return json.loads(done.stdout.splitlines()[-1]), receipt


def test_the_engines_own_lookup_reads_the_packs_file_and_is_counted(pack: Path, tmp_path: Path) -> None:
    asked = (f"128,768,{H100}", f"128,768,{H100}", f"128,384,{H100}")
    answers, receipt = look_up(pack, tmp_path / "receipts", *asked)
    assert answers[0] == answers[1] == OURS["1"], "eight tokens are nearer to one than to 64"
    assert answers[2] != OURS["1"], "the engine's default"
    assert (receipt["task"], receipt["seam"]) == ("fused_experts", "tuning")
    assert (receipt["calls_eager"], receipt["fallbacks"]) == (2, 1)
    assert receipt["files"] == [file(128, 768, H100)]
    assert receipt["lookups"] == {file(128, 768, H100): True, file(128, 384, H100): False}
    assert unanswered(receipt["files"], receipt["lookups"]) is None


def test_another_shape_and_another_gpu_find_nothing_and_are_named(pack: Path, tmp_path: Path) -> None:
    _, receipt = look_up(pack, tmp_path / "receipts", f"64,768,{H100}", f"128,768,{H200}")
    assert (receipt["calls_eager"], receipt["fallbacks"]) == (0, 2)
    wanted = ", ".join(sorted([file(64, 768, H100), file(128, 768, H200)]))
    assert unanswered(receipt["files"], receipt["lookups"]) == (
        f"the engine looked up {wanted}, the pack has {file(128, 768, H100)}; tune for this shape and GPU"
    )
