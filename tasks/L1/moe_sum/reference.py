"""Oracle of ``moe_sum``: the sum over a token's experts (arXiv:2401.04088), leaving out those of other ranks."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs
from fk_overlay.integrity.draw import Draw

UNUSED = ("output",)


def reference(
    module: Any, input: Tensor, output: Tensor, topk_ids: Tensor | None = None, expert_map: Tensor | None = None
) -> Tensor:
    """The new ``output`` [tokens, hidden]; the target itself returns nothing.

    Args:
        input: [tokens, top_k, hidden], weighted.
        topk_ids: [tokens, top_k], negative for no expert; ``expert_map``: [global experts] of local numbers, -1 for
            another rank's, or None. With a map, such slots are left out, whatever they hold; without one, all are
            summed.
    """
    if expert_map is None or topk_ids is None:
        return input.sum(dim=1)
    return input.masked_fill(_elsewhere(topk_ids, expert_map).unsqueeze(-1), 0.0).sum(dim=1)


def _elsewhere(topk_ids: Tensor, expert_map: Tensor) -> Tensor:
    """Slots whose expert is not on this rank: bool, [tokens, top_k]."""
    ids = topk_ids.long()
    return (ids < 0) | (expert_map.long()[ids.clamp(min=0)] < 0)


def sglang(module: None, x: Tensor, out: Tensor, routed_scaling_factor: float) -> Case:
    """The sum is multiplied by a factor."""
    return Case(module, (x * routed_scaling_factor, out))


def cost(
    module: Any, input: Tensor, output: Tensor, topk_ids: Tensor | None = None, expert_map: Tensor | None = None
) -> Cost:
    """Slots of this rank's experts are read and added, the output is written."""
    tokens, slots, hidden = input.shape
    added = tokens * slots
    if topk_ids is not None and expert_map is not None:
        added -= int(_elsewhere(topk_ids, expert_map).sum())
    read = added * hidden * input.itemsize + costs.size(topk_ids, expert_map)
    return Cost(read, costs.size(output), added * hidden)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd widths, one token, one expert a token, large values that cancel, and slots of another rank's experts, which
    hold what is no number."""
    draw = Draw(seed, dtype, device)

    def case(tokens: int, top_k: int, hidden: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        return draw.normal(tokens, top_k, hidden, scale=scale), draw.normal(tokens, hidden) * torch.nan

    yield Case(SimpleNamespace(), case(17, 8, 66))
    yield Case(SimpleNamespace(), case(1, 8, 130))
    yield Case(SimpleNamespace(), case(5, 1, 48, 30.0))
    values, output = case(9, 4, 40)
    values[:, 1] = -values[:, 0]
    yield Case(SimpleNamespace(), (values, output))
    ranks = torch.tensor([-1, 0, -1, 1, 2, -1], dtype=torch.int32, device=device)
    ids = draw.integers(6, 33, 3).int()
    ids[4, 1] = -1
    values, output = case(33, 3, 72)
    values[(ids < 0) | (ranks[ids.clamp(min=0).long()] < 0)] = torch.nan
    yield Case(SimpleNamespace(), (values, output, ids, ranks))
