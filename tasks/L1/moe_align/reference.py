"""Oracle of ``moe_align``, after the docstring of vLLM's ``moe_align_block_size``."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs
from fk_overlay.integrity.draw import Draw


def reference(
    module: None,
    topk_ids: Tensor,
    block_size: int,
    num_experts: int,
    expert_map: Tensor | None = None,
    pad_sorted_ids: bool = False,
    ignore_invalid_experts: bool = False,
    return_scatter_idx: bool = False,
) -> tuple[Tensor, ...]:
    """topk_ids: [tokens, top_k], negative for no expert; expert_map: [num_experts] of local numbers, -1 for another
    rank's, or None.

    Returns:
        Flat token-expert pairs sorted by expert, each expert's share padded to whole blocks with the number of pairs;
        the expert of every block; how many pairs, padding included, there are ([1]); and, if asked for, every pair's
        own number or -1 ([pairs, 1]). All int32. What lies behind the last block means nothing. ``module`` is None.
    """
    pairs = topk_ids.flatten().long()
    local = expert_map if ignore_invalid_experts else None
    owner = pairs if local is None else local[pairs.clamp(min=0)].long().masked_fill(pairs < 0, -1)
    length = _length(pairs.numel(), block_size, num_experts, pad_sorted_ids)
    sorted_ids, experts = [], []
    for expert in range(num_experts):
        mine = (owner == expert).nonzero().flatten().tolist()
        blocks = -(-len(mine) // block_size)
        sorted_ids += mine + [pairs.numel()] * (blocks * block_size - len(mine))
        experts += [expert if expert_map is None or local is not None else int(expert_map[expert])] * blocks
    result = (
        _filled(sorted_ids, length, pairs.numel(), topk_ids.device),
        _filled(experts, -(-length // block_size), -1, topk_ids.device),
        _filled([len(sorted_ids)], 1, 0, topk_ids.device),
    )
    if not return_scatter_idx:
        return result
    numbers = torch.arange(pairs.numel(), dtype=torch.int32, device=topk_ids.device)
    return *result, torch.where(owner >= 0, numbers, -1).unsqueeze(1).int()


def canonical(case: Case, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Pairs of one expert in order, and nothing behind the last block."""
    sorted_ids, experts, used, *rest = results
    block_size = inspect.signature(reference).bind(None, *case.args, **case.kwargs).arguments["block_size"]
    end = min(max(int(used), 0), sorted_ids.numel())
    ids, owners = sorted_ids.clone(), experts.clone()
    for first, last in _shares(owners.tolist(), end, block_size):
        ids[first:last] = ids[first:last].sort().values
    return ids[:end], owners[: -(-end // block_size)], used, *rest


def sglang(
    module: None,
    topk_ids: Tensor,
    block_size: int,
    num_experts: int,
    ignore_invalid_expert: bool = False,
    *,
    return_inactive_prefix_count: bool = False,
    pad_expert_ids: bool = False,
) -> Case:
    """Raises :class:`ValueError` for pairs of no expert, which get blocks of expert -1 unless they are ignored, and for
    the options that change what is returned."""
    if return_inactive_prefix_count or pad_expert_ids or bool((topk_ids < 0).any()):
        raise ValueError("this oracle knows pairs of experts only, and SGLang's plain results")
    return Case(module, (topk_ids, block_size, num_experts))


def cost(
    module: None,
    topk_ids: Tensor,
    block_size: int,
    num_experts: int,
    expert_map: Tensor | None = None,
    pad_sorted_ids: bool = False,
    ignore_invalid_experts: bool = False,
    return_scatter_idx: bool = False,
) -> Cost:
    """Ids are read; sorted pairs and the expert of every block are written, as int32. There is no arithmetic."""
    length = _length(topk_ids.numel(), block_size, num_experts, pad_sorted_ids)
    written = length + -(-length // block_size) + 1 + (topk_ids.numel() if return_scatter_idx else 0)
    return Cost(costs.size(topk_ids, expert_map), 4 * written)


def fresh(module: None, arguments: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Other routes with a skew of their own: a token's experts differ, and some experts are chosen more often. Ids of
    no expert stay where they were."""
    ids, experts = arguments["topk_ids"], arguments["num_experts"]
    draw = Draw(seed, torch.float64)
    popular = draw.normal(experts, scale=1.0)
    scores = torch.stack([draw.normal(experts) + popular for _ in range(ids.shape[0])])
    drawn = scores.topk(ids.shape[1], dim=-1).indices.to(ids.device, ids.dtype)
    return {"topk_ids": torch.where(ids < 0, ids, drawn)}


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Shares around a block, all pairs to one expert, one token, fewer pairs than experts, experts of another rank,
    most with more than one block.

    The values are integers; ``dtype`` plays no part.
    """
    draw = Draw(seed, dtype, device)
    yield Case(None, (draw.integers(5, 17, 2).int(), 4, 5))
    yield Case(None, (draw.integers(1, 33, 1).int() + 3, 16, 8))
    yield Case(None, (draw.shuffled(64)[:8].int().unsqueeze(0), 16, 64))
    yield Case(None, (draw.integers(8, 65, 2).int(), 16, 8), {"pad_sorted_ids": True})
    ranks = torch.tensor([-1, 0, -1, 1, 2, -1], dtype=torch.int32, device=device)
    yield Case(None, (draw.integers(6, 29, 2).int(), 8, 6, ranks))
    yield Case(None, (draw.integers(6, 19, 2).int(), 8, 6, ranks), {"ignore_invalid_experts": True})


def _length(pairs: int, block_size: int, num_experts: int, whole_blocks: bool) -> int:
    """How long vLLM makes its buffer: every expert may need padding."""
    length = pairs + num_experts * (block_size - 1)
    if whole_blocks:
        length = -(-length // block_size) * block_size
    return min(pairs * block_size, length) if pairs < num_experts else length


def _filled(values: list[int], length: int, filler: int, device: torch.device) -> Tensor:
    return torch.tensor(values + [filler] * (length - len(values)), dtype=torch.int32, device=device)


def _shares(owners: list[int], end: int, block_size: int) -> Iterator[tuple[int, int]]:
    """Ranges of pairs whose blocks belong to one expert in a row."""
    first = 0
    for block in range(1, len(owners) + 1):
        last = min(block * block_size, end)
        if block == len(owners) or last == end or owners[block] != owners[block - 1]:
            yield first, last
            first = last
        if last == end:
            return
