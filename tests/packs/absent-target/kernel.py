"""Right, for a class of which the tiny models have no instance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class GemmaRMSNorm:
    def forward(
        self: Any, x: Tensor, residual: Tensor | None = None, *extra: Any, **options: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        total = x.float() if residual is None else x.float() + residual.float()
        normal = total * torch.rsqrt(total.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        out = (normal * (1.0 + self.weight.float())).to(x.dtype)
        return out if residual is None else (out, total.to(x.dtype))
