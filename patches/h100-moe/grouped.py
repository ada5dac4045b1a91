"""The two grouped products, each with what the engine does around it in launches of its own.

The first activates what it writes: one program multiplies a tile of tokens with the same columns of the gate's and of
the up projection's weights, and writes silu(gate) * up. What the engine writes between the two and reads again is twice
as much as the result: 0.8 GB a layer for 16384 tokens of Qwen3-30B-A3B. The second weighs its rows as the engine does.

Weights come by pointers or, ``described``, by Hopper's bulk tensor copies: one thread asks for a whole tile, which
leaves registers and instructions to the products. Where the rows between the two lie in the order of the sort,
``packed``, those come to the second product in the same way. ``early``: a product is launched before the one ahead of
it is over (programmatic dependent launch), finds out what it has to do, and waits for what it needs. ``resident``: the
programs stay and go from tile to tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from . import kernels
from .where import INTERPRETED, LIBRARY, device, multiprocessors

ALIGNED = 16
"""Bytes that a row of a described tensor must be a multiple of."""
SHARED = 227 << 10
"""Bytes of shared memory that the blocks of one multiprocessor of Hopper have between them."""


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
    joined: bool,
    packed: bool,
    early: bool,
    resident: bool,
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
        joined: a described gated product takes both halves of its weights in one copy and one product.
        packed: the rows between the products, ``out`` of a gated one and ``x`` of the other, are those of
            ``sorted_pairs``, with padding.
        early: this launch, and the next one's, may begin before what is ahead of it is over.
        resident: as many programs as the card holds at once, where pairs are sorted, weights described, and joined if
            gated, and BLOCK_K divides k; else one for each tile.
    """
    pairs, n = len(x) * top_k if gated else len(out), out.shape[1]
    if not pairs:
        return
    block_m, block_n, block_k, group_m, warps, stages = tiles
    k = x.shape[1]
    length = length_for(len(x) if gated else pairs, pairs, block_m, sorted_pairs)
    count = triton.cdiv(length, block_m) * triton.cdiv(n, block_n)
    joined, early = joined and gated and described, early and not INTERPRETED
    rows = TensorDescriptor.from_tensor(x, [block_m, block_k]) if packed and not gated else x
    order, factor = (used if each is None else each for each in (sorted_pairs, scale))
    tensors = rows, _tiles(w, block_n, block_k, joined) if described else w, out, order, experts, used, factor
    how = {
        "TOP_K": top_k, "GATED": gated, "SCALED": scale is not None, "PACKED": packed, "EARLY": early,
        "WIDE": INTERPRETED, "BLOCK_M": block_m, "BLOCK_N": block_n, "BLOCK_K": block_k, "GROUP_M": group_m,
        "num_warps": warps, "num_stages": stages, **({"launch_pdl": True} if early else {}),
    }  # fmt: skip
    is_sorted, even = sorted_pairs is not None, k % block_k == 0
    if resident and described and joined == gated and is_sorted and even:
        programs = min(count, _at_once(tiles, gated) * multiprocessors())
        kernels.by_program[(programs,)](*tensors, n, k, pairs, x.stride(0), out.stride(0), **how)
        return
    kernels.by_tile[(count,)](
        *tensors, n, k, length, pairs, x.stride(0), w.stride(0), w.stride(1), out.stride(0),
        SORTED=is_sorted, DESCRIBED=described, JOINED=joined, EVEN=even, **how,
    )  # fmt: skip


def _tiles(w: Tensor, block_n: int, block_k: int, joined: bool) -> TensorDescriptor:
    experts, rows, k = w.shape
    if joined:
        return TensorDescriptor.from_tensor(w.view(experts, 2, rows // 2, k), [1, 2, block_n, block_k])
    return TensorDescriptor.from_tensor(w.view(-1, k), [block_n, block_k])


def _at_once(tiles: Sequence[int], gated: bool) -> int:
    """How many programs a multiprocessor holds. Tiles of fewer than 64 rows are multiplied from registers, so that a
    stage less of them lies in shared memory."""
    block_m, block_n, block_k, _, _, stages = tiles
    elements = (block_m + (2 * block_n if gated else block_n)) * block_k
    return max(1, SHARED // (2 * elements * (stages if block_m >= 64 else stages - 1)))


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
    "int top_k, int[] tiles, bool gated, bool described, bool joined, bool packed, bool early, "
    "bool resident) -> ()"
)
LIBRARY.impl("grouped", grouped, "CompositeExplicitAutograd")
torch.library.register_fake("fk_h100_moe::grouped", lambda *arguments: None, lib=LIBRARY)


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    x = torch.randn(3, 64, device=device(), dtype=torch.bfloat16)
    w1 = torch.randn(2, 64, 64, device=device(), dtype=torch.bfloat16)
    pairs = torch.tensor([0, 2, *[3] * 14, 1, *[3] * 15], device=device(), dtype=torch.int32)
    experts, used = pairs.new_tensor([0, 1]), pairs.new_tensor([32])
    tiles, scale = [16, 16, 32, 1, 4, 2], x.new_ones(3, dtype=torch.float32)
    operator = torch.ops.fk_h100_moe.grouped.default
    rows = torch.randn(32, 64, device=device(), dtype=torch.bfloat16)
    for described, joined, resident in ((False,) * 3, (True, False, False), (True, True, False), (True, True, True)):
        how = described, joined, False, False, resident
        yield operator, (x, w1, x.new_empty(3, 32), pairs, experts, used, None, 1, tiles, True, *how)
        yield operator, (x, w1, x.new_empty(3, 64), pairs, experts, used, scale, 1, tiles, False, *how)
        how = described, joined, True, True, resident
        yield operator, (x, w1, x.new_empty(32, 32), pairs, experts, used, None, 1, tiles, True, *how)
        yield operator, (rows, w1, x.new_empty(3, 64), pairs, experts, used, scale, 1, tiles, False, *how)
    apart = None, pairs.new_tensor([1, 0, 1]), used, None
    yield operator, (x, w1, x.new_empty(3, 32), *apart, 1, tiles, True, *[False] * 5)


def compile_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Qwen3-30B-A3B at a decode step's tiles and at those of a long prefill, with two experts: the number compiles to
    nothing."""
    hidden, inner, top_k = 2048, 768, 8
    w1, w2 = (torch.empty(2, *shape, dtype=torch.bfloat16) for shape in ((2 * inner, hidden), (hidden, inner)))
    ids = torch.zeros(256, dtype=torch.int32)
    scale = torch.empty(32 * top_k)
    operator, sorting = torch.ops.fk_h100_moe.grouped.default, (ids, ids, ids)
    few, many = [32, 128, 128, 1, 4, 3], ([128, 128, 64, 16, 8, 4], [128, 256, 64, 16, 8, 4])
    ways = [(False,) * 5, (True, False, False, False, False), (True, False, True, True, False)]
    ways += [(True, True, True, True, False), (True, True, True, True, True)]
    for first, second in ((few, few), many):
        for how in ways:
            x, activated = (torch.empty(rows, k, dtype=torch.bfloat16) for rows, k in ((32, hidden), (256, inner)))
            yield operator, (x, w1, activated, *sorting, None, top_k, first, True, *how)
            yield operator, (activated, w2, x.new_empty(256, hidden), *sorting, scale, 1, second, False, *how)
