"""Run by test_seams_in_sglang with FK_OVERLAY set, in a process of its own: SGLang's modules with packs in them, where
no server gets to on a CPU. Prints one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fk_overlay.engines.sglang import standins

standins.install()

import torch  # noqa: E402
from sglang.srt import runtime_context  # noqa: E402
from sglang.srt.layers import layernorm  # noqa: E402
from sglang.srt.layers.moe.moe_runner.triton_utils import fused_moe_triton_config as configs  # noqa: E402
from sglang.srt.plugins import load_plugins  # noqa: E402
from sglang.srt.server_args import ServerArgs  # noqa: E402

MODEL = Path(__file__).parents[1] / "models/tiny-llama"


def main() -> None:
    arguments = ServerArgs(
        model_path=str(MODEL), device="cpu", attention_backend="torch_native", disable_cuda_graph=True
    )
    runtime_context.publish(arguments, role="scheduler")
    before = layernorm.RMSNorm(8)
    bound = getattr(before, "_forward_method", None) is not None
    load_plugins()
    configs.get_device_name = lambda: "NVIDIA H100"
    after = layernorm.RMSNorm(8)
    for norm in (before, after):
        norm(torch.ones(2, 8))
    found, missing = configs.get_moe_configs(8, 64, None), configs.get_moe_configs(16, 64, None)
    print(json.dumps({"bound_in_init": bound, "found": found, "missing": missing, **own_lookup()}))


def own_lookup() -> dict[str, Any]:
    """A shape that SGLang ships a file for, and what that file holds."""
    shipped = sorted(
        Path(configs.__file__).with_name("configs").glob("triton_3_5_1/E=*,N=*,device_name=NVIDIA_H200.json")
    )
    experts, inner = (int(part.partition("=")[2]) for part in shipped[0].name.split(",")[:2])
    configs.get_device_name = lambda: "NVIDIA H200"
    return {
        "own_name": shipped[0].name,
        "own_file": json.loads(shipped[0].read_text(encoding="utf-8")),
        "own": configs.get_moe_configs(experts, inner, None),
    }


if __name__ == "__main__":
    main()
