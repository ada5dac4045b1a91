"""RMSNorm, with the residual added in the same pass. One program a row; the mean is taken in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .where import LIBRARY, runs_on

WIDEST = 16384
"""Longest row that one program keeps in registers."""
OTHER_DTYPES = ("fp32_residual", "override_orig_dtype")
"""Set on layers of SGLang that return another dtype than they are given."""


@triton.jit
def _rms_norm(x, residual, weight, out, total, n, eps, ADD: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < n
    value = tl.load(x + row * n + column, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(residual + row * n + column, mask=inside, other=0.0).to(tl.float32)
        tl.store(total + row * n + column, value.to(total.dtype.element_ty), mask=inside)
    scale = tl.rsqrt(tl.sum(value * value, axis=0) / n + eps)
    gain = tl.load(weight + column, mask=inside, other=0.0)
    # Rounded to the weight's type before the product, as the engine does; the product itself is taken in float32.
    normed = (value * scale).to(gain.dtype).to(tl.float32)
    tl.store(out + row * n + column, (normed * gain.to(tl.float32)).to(out.dtype.element_ty), mask=inside)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x: [..., n] -> [..., n]; weight: [n]."""
    return _launch(x, None, weight, eps)[0]


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x, residual: [..., n] -> the normalised sum and the sum."""
    return _launch(x, residual, weight, eps)


def _launch(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    n = x.shape[-1]
    x = x.contiguous()
    out = torch.empty_like(x)
    added = x if residual is None else residual.contiguous()
    total = out if residual is None else torch.empty_like(x)
    if x.numel():
        block = triton.next_power_of_2(n)
        grid = (x.numel() // n,)
        warps = min(16, max(1, block // 512))
        _rms_norm[grid](x, added, weight, out, total, n, eps, ADD=residual is not None, BLOCK=block, num_warps=warps)
    return out, total


LIBRARY.define("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor")
LIBRARY.define("add_rms_norm(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor, Tensor)")
LIBRARY.impl("rms_norm", rms_norm, "CompositeExplicitAutograd")
LIBRARY.impl("add_rms_norm", add_rms_norm, "CompositeExplicitAutograd")


def _fake(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


torch.library.register_fake("fk_example_triton::rms_norm", lambda x, weight, eps: _fake(x), lib=LIBRARY)
torch.library.register_fake(
    "fk_example_triton::add_rms_norm", lambda x, residual, weight, eps: (_fake(x), _fake(x)), lib=LIBRARY
)


class RMSNorm:
    """Of vLLM and of SGLang, which may have a second tensor to add, and names the layer that reads the result, for
    which the norm may quantise it. Calls with anything to add, to quantise, or not known here stay with the engine."""

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
        plain = module.has_weight and module.variance_size_override is None
        same_dtype = not any(getattr(module, name, None) for name in OTHER_DTYPES)
        reader = getattr(module, "_quant_linear", None) if quant_linear is None else quant_linear
        asked_for = (post_residual_addition, getattr(reader, "input_scale", None), *more, *asked.values())
        known = all(value is None for value in asked_for)
        return plain and same_dtype and known and runs_on(x) and x.shape[-1] <= WIDEST

    def forward(
        self: Any, x: Tensor, residual: Tensor | None = None, *more: Any, **asked: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        if residual is None:
            return torch.ops.fk_example_triton.rms_norm(x, self.weight.data, self.variance_epsilon)
        return torch.ops.fk_example_triton.add_rms_norm(x, residual, self.weight.data, self.variance_epsilon)


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, residual, weight = (
        torch.randn(shape, device=device, dtype=torch.bfloat16) for shape in ((3, 100), (3, 100), (100,))
    )
    yield torch.ops.fk_example_triton.rms_norm, (x, weight, 1e-6)
    yield torch.ops.fk_example_triton.add_rms_norm, (x, residual, weight, 1e-6)
