"""What vLLM 0.26 to 0.32 does at these targets, said once more."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class RMSNorm:
    def forward_native(self: Any, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        from vllm import ir

        weight = self.weight.data if self.pass_weight else None
        if residual is None:
            return ir.ops.rms_norm(x, weight, self.variance_epsilon, self.variance_size_override)
        return ir.ops.fused_add_rms_norm.maybe_inplace(
            x, residual, weight, self.variance_epsilon, self.variance_size_override
        )

    def forward_cuda(self: Any, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        return self.forward_native(x, residual)


class SiluAndMul:
    def forward_native(self, x: Tensor) -> Tensor:
        d = x.shape[-1] // 2
        return F.silu(x[..., :d]) * x[..., d:]

    def forward_cuda(self: Any, x: Tensor) -> Tensor:
        out = torch.empty(*x.shape[:-1], x.shape[-1] // 2, dtype=x.dtype, device=x.device)
        self.op(out, x)
        return out

    def forward_cpu(self: Any, x: Tensor) -> Tensor:
        return self.forward_native(x)
