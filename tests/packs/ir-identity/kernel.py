"""What vLLM's native providers do, said once more."""

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    return _normalised(x.float(), weight, epsilon, variance_size).to(x.dtype)


def fused_add_rms_norm(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    total = x.float() + x_residual.float()
    return _normalised(total, weight, epsilon, variance_size).to(x.dtype), total.to(x.dtype)


def _normalised(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None) -> Tensor:
    measured = x if variance_size is None else x[..., :variance_size]
    normal = x * torch.rsqrt(measured.pow(2).mean(dim=-1, keepdim=True) + epsilon)
    return normal if weight is None else normal.to(weight.dtype) * weight
