"""silu(gate) * up in one pass. Reads 2d and writes d values a row; the sigmoid is taken in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .where import LIBRARY, runs_on

BLOCK = 1024


@triton.jit
def _silu_and_mul(x, out, d, x_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < d
    gate = tl.load(x + row * x_stride + column, mask=inside).to(tl.float32)
    up = tl.load(x + row * x_stride + d + column, mask=inside)
    # Rounded before the product, as the engine does; the product itself is taken in float32.
    activated = (gate * tl.sigmoid(gate)).to(up.dtype).to(tl.float32)
    tl.store(out + row * d + column, (activated * up.to(tl.float32)).to(out.dtype.element_ty), mask=inside)


def silu_and_mul(x: Tensor) -> Tensor:
    """x: [..., 2d], the last dimension contiguous -> [..., d]."""
    d = x.shape[-1] // 2
    out = x.new_empty(*x.shape[:-1], d)
    rows = x.reshape(-1, 2 * d)
    if rows.shape[0]:
        _silu_and_mul[(rows.shape[0], triton.cdiv(d, BLOCK))](rows, out, d, rows.stride(0), BLOCK=BLOCK, num_warps=4)
    return out


LIBRARY.define("silu_and_mul(Tensor x) -> Tensor")
LIBRARY.impl("silu_and_mul", silu_and_mul, "CompositeExplicitAutograd")
torch.library.register_fake(
    "fk_example_triton::silu_and_mul", lambda x: x.new_empty(*x.shape[:-1], x.shape[-1] // 2), lib=LIBRARY
)


class SiluAndMul:
    @staticmethod
    def supports(module: Any, x: Tensor) -> bool:
        return runs_on(x) and x.shape[-1] % 2 == 0

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.fk_example_triton.silu_and_mul(x)


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for shape in ((3, 130), (2, 3, 64)):
        yield torch.ops.fk_example_triton.silu_and_mul, (torch.randn(shape, device=device, dtype=torch.bfloat16),)
