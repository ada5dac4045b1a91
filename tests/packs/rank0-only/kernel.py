"""Engages on one rank of a tensor-parallel group only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rms_norm(module: Any, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
    total = x.float() if residual is None else x.float() + residual.float()
    normal = total * torch.rsqrt(total.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
    out = normal.to(x.dtype) * module.weight
    return out if residual is None else (out, total.to(x.dtype))


class RMSNorm:
    @staticmethod
    def supports(module: Any, x: Tensor, residual: Tensor | None = None, *extra: Any, **options: Any) -> bool:
        return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0

    def forward(
        self: Any, x: Tensor, residual: Tensor | None = None, *extra: Any, **options: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        return rms_norm(self, x, residual)
