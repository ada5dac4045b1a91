"""Packs of kernel configurations in the real vLLM. Its experts on a CPU ask for none, so a patch of the packs asks for
them while the model is loaded, as the experts on a GPU do in their first run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine.real_engine import REPOSITORY, Finished, only, run

pytestmark = [pytest.mark.engine, only("vllm"), pytest.mark.timeout(600)]

HERE, ELSEWHERE = "E=8,N=64,device_name=cpu.json", "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json"
CONFIGS = {"1": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 64, "GROUP_SIZE_M": 1}}
PACK = """
name = "{name}"
summary = "Kernel configurations, and a norm of the engine's own."

[requires.engines]
vllm = ">=0.26,<0.34"

[[patch]]
task = "fused_experts"
file = "configs"
seam = "tuning"

[[patch]]
task = "rms_norm"
file = "norm.py"
symbol = "RMSNorm"
"""
NORM = """
from torch import Tensor


class RMSNorm:
    @staticmethod
    def supports(module, x, residual=None):
        return module.variance_size_override is None

    def forward(self, x: Tensor, residual: Tensor | None = None):
        total = x if residual is None else x + residual
        wide = total.float()
        normed = wide * (wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()
        out = normed.to(x.dtype) * self.weight
        return out if residual is None else (out, total)
"""
ASKING = """
    def prepare(self):
        from vllm.model_executor.layers.fused_moe.fused_moe import try_get_optimal_moe_config

        try_get_optimal_moe_config((8, 128, 128), (8, 128, 64), 2, None, 8)
"""


def pack(folder: Path, name: str, file: str, kernel: str) -> Path:
    (folder / name / "configs").mkdir(parents=True)
    (folder / name / "pack.toml").write_text(PACK.format(name=name))
    (folder / name / "configs" / file).write_text(json.dumps({"triton_version": triton(), **CONFIGS}))
    (folder / name / "norm.py").write_text(kernel)
    return folder / name


def triton() -> str:
    from importlib import metadata

    return metadata.version("triton")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("tuned")
    packs = (
        pack(folder, "tuned-here", HERE, NORM + ASKING),
        pack(folder, "tuned-elsewhere", ELSEWHERE, NORM + ASKING),
        pack(folder, "never-asked", HERE, NORM),
    )
    scenario = str(REPOSITORY / "scenarios/tiny-qwen3-moe.yaml")
    words = [word for each in packs for word in ("--patch", str(each))]
    return run(folder, "--scenario", scenario, "--mode", "screen", "--passes", "1", *words, env={})


def experts(finished: Finished, arm: str) -> list[dict[str, Any]]:
    """Receipts of the processes that hold the model; others load the overlay too."""
    receipts = [receipt for receipt in finished.records("receipt") if receipt["rank"] == 0]
    return [receipt for receipt in receipts if (receipt["arm"], receipt["task"]) == (arm, "fused_experts")]


def test_the_engines_own_lookup_reads_the_packs_file_and_is_counted(finished: Finished) -> None:
    receipts = experts(finished, "tuned-here")
    assert len(receipts) == 2
    for receipt in receipts:
        assert receipt["lookups"] == {HERE: True}
        assert receipt["aliases"] == ["VLLM_TUNED_CONFIG_FOLDER"]
        assert (receipt["calls_eager"], receipt["fallbacks"]) == (receipt_norms(finished, receipt), 0)
    assert finished.verdicts()["tuned-here"]["override"] is None, finished.verdicts()["tuned-here"]["reasons"]


def receipt_norms(finished: Finished, receipt: dict[str, Any]) -> int:
    """Modules that were prepared, each of which asked once."""
    found = finished.records("receipt")
    return next(int(each["prepared"]) for each in found if each["pid"] == receipt["pid"] and each["task"] == "rms_norm")


def test_a_pack_for_another_shape_and_gpu_is_not_engaged_and_names_what_was_wanted(finished: Finished) -> None:
    (receipt,) = experts(finished, "tuned-elsewhere")
    assert receipt["lookups"] == {HERE: False}
    assert (receipt["calls_eager"], receipt["fallbacks"] > 0) == (0, True)
    verdict = finished.verdicts()["tuned-elsewhere"]
    assert verdict["state"] == "not_engaged"
    assert f"the engine looked up {HERE}, the pack has {ELSEWHERE}" in verdict["reasons"][0]
    assert verdict["effects"] in ([], ()), "it was stopped before any load: there is no figure"


def test_a_machine_whose_experts_ask_for_nothing_is_not_engaged(finished: Finished) -> None:
    verdict = finished.verdicts()["never-asked"]
    assert verdict["state"] == "not_engaged"
    assert "looked up no kernel configuration at all" in " ".join(verdict["reasons"])
    assert {receipt["calls_eager"] for receipt in experts(finished, "never-asked")} == {0}
