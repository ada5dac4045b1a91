"""The first grouped product with the activation inside: one program multiplies a tile of tokens with the same columns
of the gate's and of the up projection's weights, and writes silu(gate) * up. What the engine writes between the two and
reads again is twice as much as the result: 0.8 GB a layer for 16384 tokens of Qwen3-30B-A3B."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
LIBRARY = torch.library.Library("fk_h100_moe_fused", "DEF")
NARROWEST = 16
"""Columns of a tile, the least that a matrix instruction takes."""


@triton.jit
def _gate_up(
    x, w, out, sorted_pairs, experts, used, n, k, length, pairs, x_row, w_expert, w_row, out_row,
    TOP_K: tl.constexpr, SORTED: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    columns = tl.cdiv(n, BLOCK_N)
    first = program // (GROUP_M * columns) * GROUP_M
    height = min(tl.cdiv(length, BLOCK_M) - first, GROUP_M)
    block = first + program % (GROUP_M * columns) % height
    tile = program % (GROUP_M * columns) // height

    row = tl.arange(0, BLOCK_M)
    if SORTED:
        if block * BLOCK_M >= tl.load(used):
            return
        pair = tl.load(sorted_pairs + block * BLOCK_M + row).to(tl.int64)
    else:
        pair = tl.where(row == 0, block, pairs).to(tl.int64)
    real = pair < pairs
    # Nobody's pairs have an expert below 0: nothing is read for them, so that they come out as 0.
    expert = tl.load(experts + block).to(tl.int64)
    owned = real & (expert >= 0)

    column = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    tokens = x + (pair // TOP_K)[:, None] * x_row + depth[None, :]
    gates = w + tl.maximum(expert, 0) * w_expert + (column % n)[None, :].to(tl.int64) * w_row + depth[:, None]
    ups = gates + n.to(tl.int64) * w_row
    gate = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for begin in range(0, k, BLOCK_K):
        inside = depth < k - begin
        token = tl.load(tokens, mask=owned[:, None] & inside[None, :], other=0.0)
        left = tl.load(gates, mask=inside[:, None], other=0.0)
        right = tl.load(ups, mask=inside[:, None], other=0.0)
        if WIDE:  # the interpreter takes bfloat16 for integers
            token, left, right = token.to(tl.float32), left.to(tl.float32), right.to(tl.float32)
        gate += tl.dot(token, left)
        up += tl.dot(token, right)
        tokens += BLOCK_K
        gates += BLOCK_K
        ups += BLOCK_K

    # Rounded where the engine rounds: both products, then the activation.
    kind = out.dtype.element_ty
    gate = gate.to(kind).to(tl.float32)
    activated = (gate * tl.sigmoid(gate)).to(kind).to(tl.float32)
    result = (activated * up.to(kind).to(tl.float32)).to(kind)
    tl.store(out + pair[:, None] * out_row + column[None, :], result, mask=real[:, None] & (column < n)[None, :])


def gate_up(
    x: Tensor, w1: Tensor, out: Tensor, sorted_pairs: Tensor | None, experts: Tensor, used: Tensor, tiles: list[int]
) -> None:
    """x: [tokens, hidden], w1: [experts, 2 inner, hidden], the gate first -> out: [tokens * top_k, inner].

    Args:
        sorted_pairs: token-expert pairs by expert, padded to whole blocks; None: a block for each pair.
        experts: of every block; used: how many of the sorted pairs there are, with padding, [1].
        tiles: BLOCK_M, BLOCK_N, BLOCK_K, GROUP_M, warps, stages.
    """
    pairs, inner = out.shape
    if pairs == 0:
        return
    block_m, block_n, block_k, group_m, warps, stages = tiles
    length = length_for(x.shape[0], pairs, block_m, sorted_pairs)
    grid = (triton.cdiv(length, block_m) * triton.cdiv(inner, block_n),)
    _gate_up[grid](
        x, w1, out, used if sorted_pairs is None else sorted_pairs, experts, used, inner, x.shape[1], length, pairs,
        x.stride(0), w1.stride(0), w1.stride(1), out.stride(0),
        TOP_K=pairs // x.shape[0], SORTED=sorted_pairs is not None, WIDE=INTERPRETED,
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, GROUP_M=group_m, num_warps=warps, num_stages=stages,
    )  # fmt: skip


def length_for(tokens: int, pairs: int, block_m: int, sorted_pairs: Tensor | None) -> int:
    """Places that blocks are launched for. A token's experts differ, so few tokens fill at most a block a pair."""
    most = pairs * block_m
    if sorted_pairs is None:
        return most
    return min(len(sorted_pairs), most) if tokens < block_m else len(sorted_pairs)


def tiles_of(config: Mapping[str, int]) -> list[int]:
    """From the engine's configuration of this product, halved in width: two tiles of weights take turns, so that the
    pipeline needs the same shared memory and the results the same registers."""
    width = max(NARROWEST, config["BLOCK_SIZE_N"] // 2)
    tile = [config["BLOCK_SIZE_M"], width, config["BLOCK_SIZE_K"], config["GROUP_SIZE_M"]]
    return [*tile, config.get("num_warps", 4), config.get("num_stages", 3)]


LIBRARY.define(
    "gate_up(Tensor x, Tensor w1, Tensor(a!) out, Tensor? sorted_pairs, Tensor experts, Tensor used, int[] tiles) -> ()"
)
LIBRARY.impl("gate_up", gate_up, "CompositeExplicitAutograd")
torch.library.register_fake(
    "fk_h100_moe_fused::gate_up", lambda x, w1, out, sorted_pairs, experts, used, tiles: None, lib=LIBRARY
)


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(3, 40, device=device, dtype=torch.bfloat16)
    w1 = torch.randn(2, 48, 40, device=device, dtype=torch.bfloat16)
    out = x.new_empty(3, 24)
    pairs = torch.tensor([0, 2, *[3] * 14, 1, *[3] * 15], device=device, dtype=torch.int32)
    experts, used = pairs.new_tensor([0, 1]), pairs.new_tensor([32])
    tiles = [16, 16, 32, 1, 4, 2]
    yield torch.ops.fk_h100_moe_fused.gate_up.default, (x, w1, out, pairs, experts, used, tiles)
    yield torch.ops.fk_h100_moe_fused.gate_up.default, (x, w1, out, None, pairs.new_tensor([1, 0, 1]), used, tiles)
