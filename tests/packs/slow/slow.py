"""The engine's own perceptron, followed by a wait: on a GPU a kernel that spins, also inside a CUDA graph, else a
sleep."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import Tensor

MICROSECONDS = float(os.environ.get("FK_TEST_SLOW_US", "1000"))
CYCLES_PER_MICROSECOND = 1980
"""Of the SM clock of an H100 under load."""


@torch.library.custom_op("fk_test_slow::wait", mutates_args=["x"])
def wait(x: Tensor) -> None:
    """Claims to write ``x``, so that no compiler drops or moves it; writes nothing."""
    if x.is_cuda:
        torch.cuda._sleep(int(MICROSECONDS * CYCLES_PER_MICROSECOND))
    else:
        time.sleep(MICROSECONDS * 1e-6)


@wait.register_fake
def _(x: Tensor) -> None:
    return None


class LlamaMLP:
    def forward(self: Any, x: Tensor, *extra: Any, **options: Any) -> Tensor:
        gate_up, _ = self.gate_up_proj(x)
        out, _ = self.down_proj(self.act_fn(gate_up))
        wait(out)
        return out
