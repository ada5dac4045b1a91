"""silu(gate) * up between the two grouped products. One program takes a tile of rows and columns that has no empty
columns at the widths that experts have, such as 768 or 1408; the sigmoid is taken in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .where import LIBRARY, device, runs_on

TILE = 1024
"""Elements of a tile: 128 threads, each with 16 bytes of either half."""
NARROWEST = 64


@triton.jit
def _silu_and_mul(x, out, rows, d, x_row, out_row, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < rows) & (column < d)
    gate = tl.load(x + row * x_row + column, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + row * x_row + d + column, mask=inside, other=0.0)
    # Rounded before the product, as the engine does; the product itself is taken in float32.
    activated = (gate * tl.sigmoid(gate)).to(up.dtype).to(tl.float32)
    tl.store(out + row * out_row + column, (activated * up.to(tl.float32)).to(out.dtype.element_ty), mask=inside)


def silu_and_mul(x: Tensor, out: Tensor) -> None:
    """x: [rows, 2 d], the gate first -> out: [rows, d]."""
    rows, d = out.shape
    if rows == 0:
        return
    block = width_for(d)
    height = TILE // block
    grid = (triton.cdiv(rows, height), triton.cdiv(d, block))
    _silu_and_mul[grid](x, out, rows, d, x.stride(0), out.stride(0), ROWS=height, BLOCK=block, num_warps=4)


def width_for(d: int) -> int:
    """The widest tile that divides ``d``; where that is narrow, the whole row or a tile of full width, with empty
    columns."""
    divisor = min(d & -d, TILE)
    return divisor if divisor >= NARROWEST else min(TILE, triton.next_power_of_2(d))


LIBRARY.define("silu_and_mul(Tensor x, Tensor(a!) out) -> ()")
LIBRARY.impl("silu_and_mul", silu_and_mul, "CompositeExplicitAutograd")
torch.library.register_fake("fk_h100_moe::silu_and_mul", lambda x, out: None, lib=LIBRARY)


class MoeActivation:
    """Of vLLM's TritonExperts, which clamps, and has other activations, for some models: those stay with the engine."""

    @staticmethod
    def supports(module: Any, activation: Any, output: Tensor, input: Tensor, **more: Any) -> bool:
        plain = activation.value == "silu" and limit_of(module) is None and not more
        two_halves = input.dim() == 2 and input.shape == (output.shape[0], 2 * output.shape[-1])
        return plain and two_halves and runs_on(input, output)

    def activation(self: Any, activation: Any, output: Tensor, input: Tensor, **more: Any) -> None:
        torch.ops.fk_h100_moe.silu_and_mul(input, output)


def limit_of(module: Any) -> float | None:
    """Kept with the activation since 0.30, with the quantisation before that."""
    held = getattr(module, "activation_config", None)
    limit: float | None = held.clamp_limit if held is not None else module.quant_config.gemm1_clamp_limit
    return limit


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    for rows, d in ((3, 130), (9, 64)):
        x = torch.randn(rows, 2 * d, device=device(), dtype=torch.bfloat16)
        yield torch.ops.fk_h100_moe.silu_and_mul.default, (x, x.new_empty(rows, d))
