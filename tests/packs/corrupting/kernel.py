"""Right results; then it scribbles over ``x``, which is the residual of a model's first layer."""

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
    def forward(
        self: Any, x: Tensor, residual: Tensor | None = None, *extra: Any, **options: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        result = rms_norm(self, x, residual)
        if residual is None:
            x.add_(1.0)
        return result
