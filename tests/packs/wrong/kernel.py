"""Wrong by a constant factor; the residual is right."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

FACTOR = float(os.environ.get("FK_TEST_FACTOR", "1.01"))


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
        return result * FACTOR if isinstance(result, Tensor) else (result[0] * FACTOR, result[1])
