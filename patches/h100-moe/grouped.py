"""The two grouped products, each with what the engine does around it in launches of its own.

The first activates what it writes: one program multiplies a tile of tokens with the same columns of the gate's and of
the up projection's weights, and writes silu(gate) * up. What the engine writes between the two and reads again is twice
as much as the result: 0.8 GB a layer for 16384 tokens of Qwen3-30B-A3B. The second weighs its rows as the engine does.

Weights come by pointers or, ``described``, by Hopper's bulk tensor copies: one thread asks for a whole tile, which
leaves registers and instructions to the products. Where the rows between the two lie in the order of the sort,
``packed``, those come to the second product in the same way. ``early``: a product is launched before the one ahead of
it is over (programmatic dependent launch), finds out what it has to do, and waits for what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
from triton.tools.tensor_descriptor import TensorDescriptor

from .where import INTERPRETED, LIBRARY, device

ALIGNED = 16
"""Bytes that a row of a described tensor must be a multiple of."""


@triton.jit
def _grouped(
    x, w, out, sorted_pairs, experts, used, scale, n, k, length, pairs, x_row, w_expert, w_row, out_row,
    TOP_K: tl.constexpr, SORTED: tl.constexpr, GATED: tl.constexpr, SCALED: tl.constexpr, DESCRIBED: tl.constexpr,
    PACKED: tl.constexpr, EARLY: tl.constexpr, EVEN: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    columns = tl.cdiv(n, BLOCK_N)
    first = program // (GROUP_M * columns) * GROUP_M
    height = min(tl.cdiv(length, BLOCK_M) - first, GROUP_M)
    block = first + program % (GROUP_M * columns) % height
    tile = program % (GROUP_M * columns) // height

    if EARLY and GATED:
        gdc_wait()  # for the sort and the tokens
        gdc_launch_dependents()
    row = tl.arange(0, BLOCK_M)
    if SORTED:
        if block * BLOCK_M >= tl.load(used):
            return
        pair = tl.load(sorted_pairs + block * BLOCK_M + row).to(tl.int64)
    else:
        pair = tl.where(row == 0, block, pairs).to(tl.int64)
    real = pair < pairs
    owner = tl.load(experts + block)
    expert = tl.maximum(owner, 0)

    column = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    place = block * BLOCK_M + row
    if not (PACKED and not GATED):
        # Padding reads the first token's row: it is of no use, and copies without a mask are cheaper.
        tokens = x + tl.where(real, pair // TOP_K, 0)[:, None] * x_row + depth[None, :]
    if DESCRIBED:
        top = expert * (n * 2 if GATED else n) + tile * BLOCK_N
    else:
        lefts = w + expert.to(tl.int64) * w_expert + (column % n)[None, :].to(tl.int64) * w_row + depth[:, None]
        rights = lefts + n.to(tl.int64) * w_row
    result = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    if EARLY and not GATED:
        gdc_wait()  # for the rows; the sort was over before the first product began
    for begin in range(0, k, BLOCK_K):
        inside = depth < k - begin
        if PACKED and not GATED:
            token = x.load([block * BLOCK_M, begin])
        elif EVEN:
            token = tl.load(tokens)
        else:
            token = tl.load(tokens, mask=inside[None, :], other=0.0)
        if not (PACKED and not GATED):
            tokens += BLOCK_K
        if DESCRIBED:
            left = w.load([top, begin]).T
        elif EVEN:
            left = tl.load(lefts)
        else:
            left = tl.load(lefts, mask=inside[:, None], other=0.0)
        if not DESCRIBED:
            lefts += BLOCK_K
        if WIDE:  # the interpreter takes bfloat16 for integers
            token, left = token.to(tl.float32), left.to(tl.float32)
        result += tl.dot(token, left)
        if GATED:
            if DESCRIBED:
                right = w.load([top + n, begin]).T
            elif EVEN:
                right = tl.load(rights)
            else:
                right = tl.load(rights, mask=inside[:, None], other=0.0)
            if not DESCRIBED:
                rights += BLOCK_K
            if WIDE:
                right = right.to(tl.float32)
            up += tl.dot(token, right)

    kind = out.dtype.element_ty
    if GATED:  # rounded where the engine rounds: both products, then the activation
        gate = result.to(kind).to(tl.float32)
        activated = (gate * tl.sigmoid(gate)).to(kind).to(tl.float32)
        result = activated * up.to(kind).to(tl.float32)
    if owner < 0:  # nobody's pairs come out as 0
        result = tl.zeros_like(result)
    if SCALED:
        result *= tl.load(scale + pair, mask=real, other=0.0)[:, None]
    if PACKED and GATED:
        tl.store(
            out + place.to(tl.int64)[:, None] * out_row + column[None, :], result.to(kind), mask=(column < n)[None, :]
        )
    else:
        written = real[:, None] & (column < n)[None, :]
        tl.store(out + pair[:, None] * out_row + column[None, :], result.to(kind), mask=written)


def grouped(
    x: Tensor,
    w: Tensor,
    out: Tensor,
    sorted_pairs: Tensor | None,
    experts: Tensor,
    used: Tensor,
    scale: Tensor | None,
    top_k: int,
    tiles: list[int],
    gated: bool,
    described: bool,
    packed: bool,
    early: bool,
) -> None:
    """x: [tokens, k], or a row for each pair -> out: [pairs, n].

    Args:
        w: [experts, n, k]; gated: [experts, 2 n, k], the gate first, and the result is silu(gate) * up.
        sorted_pairs: token-expert pairs by expert, padded to whole blocks; None: a block for each pair.
        experts: of every block; used: how many of the sorted pairs there are, with padding, [1].
        scale: what each pair's result is multiplied by, in float32.
        top_k: pairs of each row of ``x``.
        tiles: BLOCK_M, BLOCK_N, BLOCK_K, GROUP_M, warps, stages.
        described: the weights come by bulk copies; :func:`describable` says whether they can.
        packed: the rows between the products, ``out`` of a gated one and ``x`` of the other, are those of
            ``sorted_pairs``, with padding. Needs ``described``.
        early: this launch, and the next one's, may begin before what is ahead of it is over.
    """
    pairs, n = len(x) * top_k if gated else len(out), out.shape[1]
    if not pairs:
        return
    block_m, block_n, block_k, group_m, warps, stages = tiles
    k = x.shape[1]
    length = length_for(len(x) if gated else pairs, pairs, block_m, sorted_pairs)
    grid = (triton.cdiv(length, block_m) * triton.cdiv(n, block_n),)
    weights = TensorDescriptor.from_tensor(w.view(-1, k), [block_n, block_k]) if described else w
    rows = TensorDescriptor.from_tensor(x, [block_m, block_k]) if packed and not gated else x
    order, factor = (used if each is None else each for each in (sorted_pairs, scale))
    early = early and not INTERPRETED
    _grouped[grid](
        rows, weights, out, order, experts, used, factor, n, k, length, pairs,
        x.stride(0), w.stride(0), w.stride(1), out.stride(0),
        TOP_K=top_k, SORTED=sorted_pairs is not None, GATED=gated, SCALED=scale is not None,
        DESCRIBED=described, PACKED=packed, EARLY=early, EVEN=k % block_k == 0, WIDE=INTERPRETED,
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, GROUP_M=group_m, num_warps=warps, num_stages=stages,
        **({"launch_pdl": True} if early else {}),
    )  # fmt: skip


def length_for(tokens: int, pairs: int, block_m: int, sorted_pairs: Tensor | None) -> int:
    """Places that blocks are launched for. A token's experts differ, so few tokens fill at most a block a pair."""
    most = pairs * block_m
    if sorted_pairs is None:
        return most
    return min(len(sorted_pairs), most) if tokens < block_m else len(sorted_pairs)


def describable(w: Tensor, n: int, tiles: Sequence[int]) -> bool:
    """Whether tiles of ``n`` columns of these weights can come by bulk copies: none may reach into what follows."""
    return n % tiles[1] == 0 and w.is_contiguous() and w.shape[2] * w.itemsize % ALIGNED == 0


LIBRARY.define(
    "grouped(Tensor x, Tensor w, Tensor(a!) out, Tensor? sorted_pairs, Tensor experts, Tensor used, Tensor? scale, "
    "int top_k, int[] tiles, bool gated, bool described, bool packed, bool early) -> ()"
)
LIBRARY.impl("grouped", grouped, "CompositeExplicitAutograd")
torch.library.register_fake("fk_h100_moe::grouped", lambda *arguments: None, lib=LIBRARY)


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    x = torch.randn(3, 40, device=device(), dtype=torch.bfloat16)
    w1 = torch.randn(2, 64, 40, device=device(), dtype=torch.bfloat16)
    pairs = torch.tensor([0, 2, *[3] * 14, 1, *[3] * 15], device=device(), dtype=torch.int32)
    experts, used = pairs.new_tensor([0, 1]), pairs.new_tensor([32])
    tiles, scale = [16, 16, 32, 1, 4, 2], x.new_ones(3, dtype=torch.float32)
    operator = torch.ops.fk_h100_moe.grouped.default
    for described in (False, True):
        how = described, False, False
        yield operator, (x, w1, x.new_empty(3, 32), pairs, experts, used, None, 1, tiles, True, *how)
        yield operator, (x, w1, x.new_empty(3, 64), pairs, experts, used, scale, 1, tiles, False, *how)
    rows = torch.randn(32, 40, device=device(), dtype=torch.bfloat16)
    yield operator, (x, w1, x.new_empty(32, 32), pairs, experts, used, None, 1, tiles, True, True, True, True)
    yield operator, (rows, w1, x.new_empty(3, 64), pairs, experts, used, scale, 1, tiles, False, True, True, True)
    apart = None, pairs.new_tensor([1, 0, 1]), used, None
    yield operator, (x, w1, x.new_empty(3, 32), *apart, 1, tiles, True, False, False, False)


def compile_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Qwen3-30B-A3B at a decode step's tiles and at those of a long prefill, with two experts: the number compiles to
    nothing."""
    hidden, inner, top_k = 2048, 768, 8
    w1, w2 = (torch.empty(2, *shape, dtype=torch.bfloat16) for shape in ((2 * inner, hidden), (hidden, inner)))
    ids = torch.zeros(256, dtype=torch.int32)
    scale = torch.empty(32 * top_k)
    operator, sorting = torch.ops.fk_h100_moe.grouped.default, (ids, ids, ids)
    for first, second in (
        ([32, 128, 128, 1, 4, 3], [32, 128, 128, 1, 4, 3]),
        ([128, 128, 64, 16, 8, 4], [128, 256, 64, 16, 8, 4]),
    ):
        for how in ((False, False, False), (True, False, False), (True, True, True)):
            x, activated = (torch.empty(rows, k, dtype=torch.bfloat16) for rows, k in ((32, hidden), (256, inner)))
            yield operator, (x, w1, activated, *sorting, None, top_k, first, True, *how)
            yield operator, (activated, w2, x.new_empty(256, hidden), *sorting, scale, 1, second, False, *how)
