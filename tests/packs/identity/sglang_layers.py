"""What SGLang 0.5.17 to 0.5.23 does at these targets for plain layers, said once more."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Normalised = Tensor | tuple[Tensor, Tensor]


class RMSNorm:
    @staticmethod
    def supports(
        module: Any,
        x: Tensor,
        residual: Tensor | None = None,
        post_residual_addition: Tensor | None = None,
        quant_linear: Any = None,
        *more: Any,
        **asked: Any,
    ) -> bool:
        """Declines what is seldom asked for. The norm may quantise for the layer that reads its result; a layer without
        an ``input_scale`` wants no quantisation."""
        plain = module.variance_size_override is None and module.override_orig_dtype is None
        reader = getattr(module, "_quant_linear", None) if quant_linear is None else quant_linear
        asked_for = (post_residual_addition, getattr(reader, "input_scale", None), *more, *asked.values())
        known = all(value is None for value in asked_for)
        return plain and known and not module.cast_x_before_out_mul and not module.fp32_residual

    def forward_native(self: Any, x: Tensor, residual: Tensor | None = None, *more: Any, **asked: Any) -> Normalised:
        total = x.float()
        if residual is not None:
            total = total + residual.float()
            residual = total.to(x.dtype)
        variance = total.pow(2).mean(dim=-1, keepdim=True)
        out = (total * torch.rsqrt(variance + self.variance_epsilon) * self.weight).to(x.dtype)
        return out if residual is None else (out, residual)

    def forward_cpu(self: Any, x: Tensor, residual: Tensor | None = None, *more: Any, **asked: Any) -> Normalised:
        return self.forward_native(x, residual)

    def forward_cuda(self: Any, x: Tensor, residual: Tensor | None = None, *more: Any, **asked: Any) -> Normalised:
        from sglang.srt.layers import layernorm

        if residual is not None:
            layernorm.fused_add_rmsnorm(x, residual, self.weight.data, self.variance_epsilon)
            return x, residual
        return layernorm.rmsnorm(x.reshape(-1, x.shape[-1]), self.weight.data, self.variance_epsilon).view(x.shape)


class SiluAndMul:
    def forward_native(self, x: Tensor) -> Tensor:
        d = x.shape[-1] // 2
        return F.silu(x[..., :d]) * x[..., d:]

    def forward_cpu(self: Any, x: Tensor) -> Tensor:
        return self.forward_native(x)

    def forward_cuda(self: Any, x: Tensor) -> Tensor:
        from sglang.srt.layers import activation

        out = torch.empty(*x.shape[:-1], x.shape[-1] // 2, dtype=x.dtype, device=x.device)
        activation.silu_and_mul(x, out)
        return out
