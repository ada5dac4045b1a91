"""What vLLM and SGLang do in this block, said once more."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class LlamaMLP:
    def forward(self: Any, x: Tensor, *more: Any, **asked: Any) -> Tensor:
        """SGLang hands over the batch too, and its own code does not look at it."""
        gate_up, _ = self.gate_up_proj(x)
        out, _ = self.down_proj(self.act_fn(gate_up))
        return out
