"""Matrix products of bfloat16 layers on processors that cannot multiply bfloat16.

There the engine's product falls back to a slow path as soon as there is more than one row. This kernel keeps a second
copy of every weight, in float16 and in FBGEMM's panel order, and multiplies in float32: FBGEMM widens the weights in
registers, so that each product reads two bytes a weight.

Accuracy: float16 has three more bits of mantissa than bfloat16, so weights between 6e-5 and 65504 are copied exactly;
smaller ones are off by at most 3e-8. Sums are in float32 and rounded once, as in the engine's own path.
Cost: two bytes a weight of memory, and once, a moment to pack them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PACKED = "fk_example_cpu_packed"
LARGEST = 65504.0
"""Largest finite float16."""


def _worth_it() -> bool:
    """Decided once: x86 with AVX2 (which FBGEMM needs) and no instruction for bfloat16 products."""
    can = torch.cpu.get_capabilities()
    multiplies_bfloat16 = any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "avx10_2"))
    return can.get("avx2", False) and not multiplies_bfloat16 and "fbgemm" in torch.backends.quantized.supported_engines


WORTH_IT = _worth_it()


class Linear:
    @staticmethod
    def supports(method: Any, layer: Any, x: Tensor, bias: Tensor | None = None) -> bool:
        return x.dtype is torch.bfloat16 and getattr(layer, PACKED, None) is not None

    @staticmethod
    def prepare(layer: Any) -> None:
        """Pack the layer's weight. Layers that share one weight share the copy; a table that is only looked up, and a
        weight that the engine has taken away or that float16 cannot hold, get none and stay with the engine."""
        weight = layer.weight
        if not WORTH_IT or type(layer).__name__ == "VocabParallelEmbedding" or not _packable(weight):
            return
        if not hasattr(weight, PACKED):
            setattr(weight, PACKED, torch.ops._quantized.wrapped_fbgemm_pack_gemm_matrix_fp16(weight.detach().float()))
        setattr(layer, PACKED, getattr(weight, PACKED))
        layer.fk_example_cpu_zeros = torch.zeros(weight.shape[0])

    def apply(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x: [..., in] -> [..., out]; ``bias``: [out] or None, added in float32."""
        added = layer.fk_example_cpu_zeros if bias is None else bias.float()
        packed, size = getattr(layer, PACKED), added.shape[0]
        product = torch.ops._quantized.wrapped_fbgemm_linear_fp16_weight(x.float(), packed, added, size)
        return product.to(x.dtype)


def _packable(weight: Tensor) -> bool:
    plain = weight.device.type == "cpu" and weight.dtype is torch.bfloat16 and weight.ndim == 2 and weight.numel() > 0
    return plain and weight.detach().abs().max().item() <= LARGEST
