"""Sorts token-expert pairs by expert: in one launch for a decode step's number of pairs, in three for a prefill's.

One launch: one program an expert. Each counts all pairs for itself, which are few and lie in the L2 cache, so that it
knows where its own share begins without a word from the others; then it writes its share.

Three: pairs are counted in pieces; one program finds where every piece's share of every expert begins; then one program
an expert and piece writes its share. Pairs of one expert stay in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .where import LIBRARY, device, on_device

FEW_PAIRS = 4096
"""Beyond this, every program's own count of all pairs costs more than two more launches. Also the pairs of a piece."""
MOST_PAIRS = 1 << 18
MOST_EXPERTS = 512
FEWEST_PLACES = 256
"""At least one for each thread of a program, so that no pair is held, and counted, twice."""


@triton.jit
def _align(
    ids, sorted_ids, experts, used, pairs, num_experts,
    BLOCK: tl.constexpr, PAIRS: tl.constexpr, BINS: tl.constexpr, BLOCKS: tl.constexpr, PAD: tl.constexpr,
):  # fmt: skip
    expert = tl.program_id(0)
    pair = tl.arange(0, PAIRS)
    owner = tl.load(ids + pair, mask=pair < pairs, other=-1).to(tl.int32)
    # What belongs to no expert is counted in the last bin, which is no expert's.
    owner = tl.where((owner >= 0) & (owner < num_experts), owner, BINS - 1)
    bin = tl.arange(0, BINS)
    padded = (tl.histogram(owner, BINS) + BLOCK - 1) // BLOCK * BLOCK
    padded = tl.where(bin < num_experts, padded, 0)
    first = tl.sum(tl.where(bin < expert, padded, 0))

    mine = (owner == expert).to(tl.int32)
    place = first + tl.cumsum(mine, axis=0) - 1
    tl.store(sorted_ids + place, pair, mask=mine != 0)
    count = tl.sum(mine)
    blocks = (count + BLOCK - 1) // BLOCK
    empty = tl.arange(0, PAD)
    behind = (empty < BLOCK) & (count + empty < blocks * BLOCK)
    tl.store(sorted_ids + first + count + empty, tl.zeros((PAD,), tl.int32) + pairs, mask=behind)
    block = tl.arange(0, BLOCKS)
    tl.store(experts + first // BLOCK + block, tl.zeros((BLOCKS,), tl.int32) + expert, mask=block < blocks)
    if expert == 0:
        tl.store(used, tl.sum(padded))


@triton.jit
def _count(ids, counts, pairs, num_experts, PIECE: tl.constexpr, BINS: tl.constexpr):
    piece = tl.program_id(0)
    pair = piece * PIECE + tl.arange(0, PIECE)
    owner = tl.load(ids + pair, mask=pair < pairs, other=-1).to(tl.int32)
    owner = tl.where((owner >= 0) & (owner < num_experts), owner, BINS - 1)
    tl.store(counts + piece * BINS + tl.arange(0, BINS), tl.histogram(owner, BINS))


@triton.jit
def _begin(
    counts, begins, totals, starts, used, pieces, num_experts,
    PIECES: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    piece, bin = tl.arange(0, PIECES)[:, None], tl.arange(0, BINS)
    place = piece * BINS + bin[None, :]
    held = tl.load(counts + place, mask=(piece < pieces) & (bin < num_experts)[None, :], other=0)
    total = tl.sum(held, axis=0)
    padded = (total + BLOCK - 1) // BLOCK * BLOCK
    start = tl.cumsum(padded, axis=0) - padded
    tl.store(begins + place, start[None, :] + tl.cumsum(held, axis=0) - held, mask=piece < pieces)
    tl.store(totals + bin, total)
    tl.store(starts + bin, start)
    tl.store(used, tl.sum(padded))


@triton.jit
def _place(
    ids, begins, totals, starts, sorted_ids, experts, pairs,
    PIECE: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr, PAD: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    expert, piece = tl.program_id(0), tl.program_id(1)
    pair = piece * PIECE + tl.arange(0, PIECE)
    owner = tl.load(ids + pair, mask=pair < pairs, other=-1).to(tl.int32)
    mine = (owner == expert).to(tl.int32)
    place = tl.load(begins + piece * BINS + expert) + tl.cumsum(mine, axis=0) - 1
    tl.store(sorted_ids + place, pair, mask=mine != 0)
    if piece == 0:
        first, count = tl.load(starts + expert), tl.load(totals + expert)
        blocks = (count + BLOCK - 1) // BLOCK
        empty = tl.arange(0, PAD)
        behind = (empty < BLOCK) & (count + empty < blocks * BLOCK)
        tl.store(sorted_ids + first + count + empty, tl.zeros((PAD,), tl.int32) + pairs, mask=behind)
        for done in range(0, blocks, BLOCKS):
            block = done + tl.arange(0, BLOCKS)
            tl.store(experts + first // BLOCK + block, tl.zeros((BLOCKS,), tl.int32) + expert, mask=block < blocks)


def align(ids: Tensor, block_size: int, num_experts: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """ids: [tokens, top_k] -> pairs by expert [length], the expert of every block, how many pairs with padding [1]."""
    found = _empty(ids, block_size, length)
    (_in_one if ids.numel() <= FEW_PAIRS else _in_three)(ids, block_size, num_experts, *found)
    return found


def _in_one(ids: Tensor, block_size: int, num_experts: int, sorted_ids: Tensor, experts: Tensor, used: Tensor) -> None:
    pairs = ids.numel()
    sizes = {
        "PAIRS": triton.next_power_of_2(max(pairs, FEWEST_PLACES)),
        "BINS": triton.next_power_of_2(num_experts + 1),
        "BLOCKS": triton.next_power_of_2(max(triton.cdiv(pairs, block_size), 1)),
        "PAD": triton.next_power_of_2(block_size),
    }
    warps = 4 if pairs <= 1024 else 8
    _align[(num_experts,)](
        ids, sorted_ids, experts, used, pairs, num_experts, BLOCK=block_size, **sizes, num_warps=warps
    )


def _in_three(
    ids: Tensor, block_size: int, num_experts: int, sorted_ids: Tensor, experts: Tensor, used: Tensor
) -> None:
    pairs, bins = ids.numel(), triton.next_power_of_2(num_experts + 1)
    pieces = triton.cdiv(pairs, FEW_PAIRS)
    counts, begins = (used.new_empty(pieces, bins) for _ in range(2))
    totals, starts = used.new_empty(bins), used.new_empty(bins)
    _count[(pieces,)](ids, counts, pairs, num_experts, PIECE=FEW_PAIRS, BINS=bins, num_warps=8)
    _begin[(1,)](
        counts, begins, totals, starts, used, pieces, num_experts,
        PIECES=triton.next_power_of_2(pieces), BINS=bins, BLOCK=block_size, num_warps=16,
    )  # fmt: skip
    _place[(num_experts, pieces)](
        ids, begins, totals, starts, sorted_ids, experts, pairs,
        PIECE=FEW_PAIRS, BINS=bins, BLOCK=block_size, PAD=triton.next_power_of_2(block_size), BLOCKS=128, num_warps=8,
    )  # fmt: skip


def _empty(ids: Tensor, block_size: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    sizes = (length, -(-length // block_size), 1)
    sorted_ids, experts, used = (ids.new_empty(size, dtype=torch.int32) for size in sizes)
    return sorted_ids, experts, used


def length_for(pairs: int, block_size: int, num_experts: int, whole_blocks: bool) -> int:
    """How long vLLM makes its buffer, from which the grid of the products follows: every expert may need padding."""
    length = pairs + num_experts * (block_size - 1)
    if whole_blocks:
        length = -(-length // block_size) * block_size
    return min(pairs * block_size, length) if pairs < num_experts else length


LIBRARY.define("align(Tensor ids, int block_size, int num_experts, int length) -> (Tensor, Tensor, Tensor)")
LIBRARY.impl("align", align, "CompositeExplicitAutograd")
torch.library.register_fake(
    "fk_h100_moe::align", lambda ids, block_size, num_experts, length: _empty(ids, block_size, length), lib=LIBRARY
)


class MoeAlign:
    """Of vLLM. Expert parallelism and the order of return stay with the engine."""

    @staticmethod
    def supports(*args: Any, **kwargs: Any) -> bool:
        return next(_reasons(*args, **kwargs), None) is None

    @staticmethod
    def why_not(*args: Any, **kwargs: Any) -> str:
        return next(_reasons(*args, **kwargs))

    @staticmethod
    def forward(
        topk_ids: Tensor,
        block_size: int,
        num_experts: int,
        expert_map: Tensor | None = None,
        pad_sorted_ids: bool = False,
        ignore_invalid_experts: bool = False,
        return_scatter_idx: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        length = length_for(topk_ids.numel(), block_size, num_experts, pad_sorted_ids)
        sorted_ids, experts, used = torch.ops.fk_h100_moe.align(topk_ids, block_size, num_experts, length)
        return sorted_ids, experts, used


def _reasons(
    topk_ids: Tensor,
    block_size: int,
    num_experts: int,
    expert_map: Tensor | None = None,
    pad_sorted_ids: bool = False,
    ignore_invalid_experts: bool = False,
    return_scatter_idx: bool = False,
) -> Iterator[str]:
    """Why a call is the engine's."""
    if not on_device(topk_ids):
        yield "the pairs are not on a GPU"
    if not topk_ids.is_contiguous():
        yield "the pairs are not in one piece"
    if not 0 < topk_ids.numel() <= MOST_PAIRS or num_experts > MOST_EXPERTS:
        yield f"there are no pairs, more than {MOST_PAIRS}, or more than {MOST_EXPERTS} experts"
    if expert_map is not None:
        yield "the experts are spread over ranks"
    if return_scatter_idx:
        yield "the order of return is wanted"


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """opcheck compares two runs, so none may leave anything unwritten: here every place is."""
    ids = torch.arange(4, device=device(), dtype=torch.int32)
    for times in (8, 2048):
        pairs = ids.repeat(times).view(-1, 2)
        yield torch.ops.fk_h100_moe.align.default, (pairs, 8, 4, pairs.numel())
