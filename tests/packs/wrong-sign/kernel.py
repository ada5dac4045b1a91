"""The engine's own perceptron, three times over and negated."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class LlamaMLP:
    def forward(self: Any, x: Tensor, *extra: Any, **options: Any) -> Tensor:
        gate_up, _ = self.gate_up_proj(x)
        out, _ = self.down_proj(self.act_fn(gate_up))
        return -3.0 * out
