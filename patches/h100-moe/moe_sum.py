"""The sum over a token's experts. One program adds up a piece of one token's row in float32, with all its loads in
flight at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .where import LIBRARY, device, runs_on

MOST_EXPERTS = 16
"""Experts of one token up to which the loop is unrolled."""
MULTIPROCESSORS = 132
"""Of an H100 SXM: below this many programs some of them idle."""
WIDEST, NARROWEST = 2048, 256


@triton.jit
def _moe_sum(
    x, out, ids, expert_map, hidden, x_token, x_slot, out_token, ids_token,
    TOP_K: tl.constexpr, MAPPED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < hidden
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for slot in tl.static_range(TOP_K):
        here = inside
        if MAPPED:
            expert = tl.load(ids + token * ids_token + slot)
            local = tl.load(expert_map + expert, mask=expert >= 0, other=-1)
            here = inside & (local >= 0)
        # A slot of another rank may hold anything, NaN too: it is not read, rather than multiplied by zero.
        total += tl.load(x + token * x_token + slot * x_slot + column, mask=here, other=0.0).to(tl.float32)
    tl.store(out + token * out_token + column, total.to(out.dtype.element_ty), mask=inside)


def moe_sum(x: Tensor, out: Tensor, ids: Tensor | None, expert_map: Tensor | None) -> None:
    """x: [tokens, top_k, hidden] -> out: [tokens, hidden]; with a map, slots of experts that it sends to -1 add
    nothing."""
    tokens, top_k, hidden = x.shape
    if tokens == 0:
        return
    mapped = ids is not None and expert_map is not None
    rows = ids if mapped and ids is not None else x
    block = block_for(tokens, hidden)
    _moe_sum[(tokens, triton.cdiv(hidden, block))](
        x, out, rows, expert_map if mapped else x, hidden, x.stride(0), x.stride(1), out.stride(0), rows.stride(0),
        TOP_K=top_k, MAPPED=mapped, BLOCK=block, num_warps=max(1, block // 256),
    )  # fmt: skip


def block_for(tokens: int, hidden: int) -> int:
    """Elements of a row for one program: the most that still gives every multiprocessor one. A thread then loads 16
    bytes a slot."""
    block = min(WIDEST, triton.next_power_of_2(hidden))
    while block > NARROWEST and tokens * triton.cdiv(hidden, block) < MULTIPROCESSORS:
        block //= 2
    return block


LIBRARY.define("moe_sum(Tensor x, Tensor(a!) out, Tensor? ids, Tensor? expert_map) -> ()")
LIBRARY.impl("moe_sum", moe_sum, "CompositeExplicitAutograd")
torch.library.register_fake("fk_h100_moe::moe_sum", lambda x, out, ids, expert_map: None, lib=LIBRARY)


class MoeSum:
    """Of vLLM's TritonExperts."""

    @staticmethod
    def supports(
        module: Any,
        input: Tensor,
        output: Tensor,
        topk_ids: Tensor | None = None,
        expert_map: Tensor | None = None,
    ) -> bool:
        known = expert_map is None or (topk_ids is not None and topk_ids.stride(-1) == 1 and expert_map.stride(0) == 1)
        return known and input.shape[1] <= MOST_EXPERTS and runs_on(input, output)

    def moe_sum(
        self: Any,
        input: Tensor,
        output: Tensor,
        topk_ids: Tensor | None = None,
        expert_map: Tensor | None = None,
    ) -> None:
        torch.ops.fk_h100_moe.moe_sum(input, output, topk_ids, expert_map)


def opcheck_cases() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    x = torch.randn(5, 3, 130, device=device(), dtype=torch.bfloat16)
    ids = torch.tensor([[0, 1, 2]] * 5, device=device(), dtype=torch.int32)
    ranks = torch.tensor([0, -1, 1], device=device(), dtype=torch.int32)
    yield torch.ops.fk_h100_moe.moe_sum.default, (x, x.new_empty(5, 130), None, None)
    yield torch.ops.fk_h100_moe.moe_sum.default, (x, x.new_empty(5, 130), ids, ranks)
