"""Run as a program with ``TRITON_INTERPRET=1`` and ``SGLANG_USE_CPU_ENGINE=1``: one layer through SGLang's own fused
experts, on the CPU.

SGLang registers the layer's operator for GPUs only and sorts tokens by expert in CUDA; this gives it the function
itself and a sort in PyTorch, in this process only. Prints how far the tuner's result is from the truth, with which tile
depths SGLang's kernel was launched, and the baseline before and after a launch that fails, as JSON.
"""

from __future__ import annotations

import importlib
import json
from contextlib import suppress
from typing import Any

import torch

from fk_overlay.engines.experts import get_experts
from fk_overlay.engines.sglang import standins
from fk_overlay.integrity import formulas
from fk_overlay.tuning.config import Config
from fk_overlay.tuning.layer import Layer
from fk_overlay.tuning.routing import Routing
from fk_overlay.tuning.shapes import Experts

torch.set_num_threads(1)
SHAPE = Experts("tiny", 8, 64, 32, 2, "made up")
SHALLOW, DEEP = Config(16, 32, 32, 1, 4, 2), Config(16, 32, 64, 1, 4, 2)
standins.install()
operators = importlib.import_module("sglang.srt.utils.custom_op")
vars(operators)["register_custom_op"] = lambda function=None, **_: function or (lambda each: each)
EXPERTS = get_experts("sglang")
kernels = importlib.import_module("sglang.kernels.ops.moe.fused_moe_triton_kernels")
experts = importlib.import_module("sglang.srt.layers.moe.moe_runner.triton_utils.fused_moe")
configs = importlib.import_module("sglang.srt.layers.moe.moe_runner.triton_utils.fused_moe_triton_config")
vars(configs)["get_device_name"] = lambda: "NVIDIA H100 80GB HBM3"


def aligned(ids: torch.Tensor, block: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Places of the tokens by expert, every expert's filled up to whole tiles with a place that is none."""
    places: list[int] = []
    tiles: list[int] = []
    for expert in range(count):
        own = torch.nonzero(ids.flatten() == expert).flatten().tolist()
        own += [ids.numel()] * (-len(own) % block)
        places += own
        tiles += [expert] * (len(own) // block)
    return tuple(torch.tensor(each, dtype=torch.int32) for each in (places, tiles, [len(places)]))  # type: ignore[return-value]


class Watched:
    """SGLang's kernel, and how deep its tiles were."""

    def __init__(self) -> None:
        self.kernel, self.depths = kernels.fused_moe_kernel, list[int]()

    def __getitem__(self, grid: Any) -> Any:
        def launch(*args: Any, **kwargs: Any) -> None:
            self.depths.append(kwargs["BLOCK_SIZE_K"])
            self.kernel[grid](*args, **kwargs)

        return launch


class Once:
    """A clock that only calls."""

    def times(self, call: Any, before: Any, calls: int) -> list[float]:
        for number in range(calls):
            before(number)
            call()
        return [1.0] * calls


def truth(layer: Layer, bench: Any) -> torch.Tensor:
    w1, w2 = layer.weights()
    every = range(SHAPE.experts)
    gated = [formulas.gated(bench.hidden.double() @ w1[e].double().T, "silu") @ w2[e].double().T for e in every]
    chosen = torch.stack(gated, 1).gather(1, bench.ids.long()[..., None].expand(-1, -1, SHAPE.hidden))
    return (chosen * bench.shares.double()[..., None]).sum(1)


vars(experts)["moe_align_block_size"] = aligned
watched = Watched()
vars(kernels)["fused_moe_kernel"] = watched
# float16: Triton's interpreter takes the bits of a bfloat16 for a number when it multiplies matrices.
layer = Layer(SHAPE, Routing(), EXPERTS, Once(), device="cpu", dtype="float16")
bench = layer.at(5)
w1, w2 = layer.weights()
before = dict(EXPERTS.baseline(w1, w2, 2, 5))
with suppress(KeyError):
    EXPERTS.run(bench.work, w1, w2, bench.shares, bench.ids, {"BLOCK_SIZE_M": 16})
after = dict(EXPERTS.baseline(w1, w2, 2, 5))
bench._route(0)
expected = truth(layer, bench)
watched.depths.clear()
distances = []
for config in (SHALLOW, DEEP):
    bench._route(0)
    out = EXPERTS.run(bench.work, w1, w2, bench.shares, bench.ids, config.engine())
    distances.append(float((out.double() - expected).norm() / expected.norm()))
depths = list(watched.depths)
timed = [bench.time(config, 3) for config in (SHALLOW, DEEP)]
print(
    json.dumps(
        {
            "distances": distances,
            "depths": depths,
            "before": before,
            "after": after,
            "kernel": type(watched.kernel).__name__,
            "timed": [[timing.seconds, timing.reason] for timing in timed],
        }
    )
)
