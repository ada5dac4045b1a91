"""Oracle of ``llama_attention``: causal attention with rotary embedding and grouped queries (arXiv:2307.09288).

One sequence, all of it in one prefill, on one rank: token i attends to tokens 0 to i of the call. The engine's cache is
not looked at.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, llama, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, positions: Tensor, hidden_states: Tensor) -> Tensor:
    """positions: [tokens], ascending; hidden_states: [tokens, hidden] -> [tokens, hidden]."""
    return llama.attention(module, positions, hidden_states)


def sglang(module: Any, positions: Tensor, hidden_states: Tensor, forward_batch: Any) -> Case:
    """The batch tells the engine's own code where the cache is."""
    return Case(module, (positions, hidden_states))


def cost(module: Any, positions: Tensor, hidden_states: Tensor) -> Cost:
    """hidden_states and both weights are read, the result is written; keys and values go to the cache."""
    moved = costs.size(hidden_states)
    return Cost(moved, moved + positions.numel() * kept(module)) + costs.attention(module, positions.numel())


def kept(module: Any) -> int:
    """Keys and values of one token in the cache, in bytes."""
    return costs.kept(module)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Groups of two and four queries, one group each, one token, a bias, more tokens than a tile."""
    draw = Draw(seed, dtype, device)
    positions = draw.shuffled(64).sort().values
    yield Case(standins.llama_attention(draw, 48, 4, 2), (positions[:7], draw.normal(7, 48)))
    yield Case(standins.llama_attention(draw, 32, 2, 2, bias=True), (positions[:17], draw.normal(17, 32)))
    yield Case(standins.llama_attention(draw, 40, 4, 1), (positions[:1], draw.normal(1, 40)))
    yield Case(standins.llama_attention(draw, 48, 8, 2), (positions[:33], draw.normal(33, 48)))
