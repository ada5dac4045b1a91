"""Run as a program with ``TRITON_INTERPRET=1``: one layer through vLLM's own fused experts, on the CPU.

The CPU build of vLLM takes Triton for unusable and has no ``moe_sum``; this gives it both, as a GPU build has them, in
this process only. Prints what the tuner would have been told, as JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import torch
import triton.backends

from fk_overlay.engines.experts import get_experts
from fk_overlay.integrity import formulas
from fk_overlay.tuning.config import Config
from fk_overlay.tuning.layer import Layer
from fk_overlay.tuning.routing import Routing
from fk_overlay.tuning.shapes import Experts

torch.set_num_threads(1)
triton.backends.backends["cpu"] = SimpleNamespace(driver=SimpleNamespace(is_active=lambda: True), compiler=None)
EXPERTS = get_experts("vllm")
SHAPE = Experts("tiny", 64, 64, 32, 2, "made up")
FITTING = Config(16, 32, 32, 1, 4, 2)
library = torch.library.Library("_moe_C", "FRAGMENT")


def moe_sum(parts: torch.Tensor, output: torch.Tensor, ids: Any = None, map: Any = None) -> None:
    output.copy_(parts.float().sum(1))


library.define("moe_sum(Tensor input, Tensor(a!) output, Tensor? ids=None, Tensor? map=None) -> ()")
library.impl("moe_sum", moe_sum, "CPU")


class HostClock:
    def times(self, call: Callable[[], object], before: Callable[[int], None], calls: int) -> list[float]:
        seconds = []
        for number in range(calls):
            before(number)
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return seconds


def expected(layer: Layer, bench: Any) -> torch.Tensor:
    w1, w2 = layer.weights()
    gated = [formulas.gated(bench.hidden.double() @ w1[e].double().T, "silu") @ w2[e].double().T for e in range(64)]
    chosen = torch.stack(gated, 1).gather(1, bench.ids.long()[..., None].expand(-1, -1, SHAPE.hidden))
    return (chosen * bench.shares.double()[..., None]).sum(1)


# float16: Triton's interpreter takes the bits of a bfloat16 for a number when it multiplies matrices.
layer = Layer(SHAPE, Routing(), EXPERTS, HostClock(), device="cpu", dtype="float16")
bench = layer.at(4)
w1, w2 = layer.weights()
out = EXPERTS.run(bench.hidden, w1, w2, bench.shares, bench.ids, FITTING.engine())
truth = expected(layer, bench)
good = bench.time(FITTING, 2)
broken = layer.at(4)
run = EXPERTS.run


def wrong(*args: Any) -> torch.Tensor:
    scale = 1.5 if args[-1] == FITTING.engine() else 1.0
    return run(*args) * scale


EXPERTS.run = wrong  # type: ignore[method-assign]
refused = broken.time(FITTING, 2)
baseline = dict(EXPERTS.baseline(w1, w2, 2, 4))
with suppress(KeyError):
    run(bench.work, w1, w2, bench.shares, bench.ids, {"BLOCK_SIZE_M": 16})
print(
    json.dumps(
        {
            "distance": float((out.double() - truth).norm() / truth.norm()),
            "baseline": baseline,
            "baseline_after_a_failure": EXPERTS.baseline(w1, w2, 2, 4),
            "seconds": good.seconds,
            "refused": [refused.seconds, refused.reason],
        }
    )
)
