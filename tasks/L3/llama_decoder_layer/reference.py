"""Oracle of ``llama_decoder_layer`` (arXiv:2302.13971): one sequence, all of it in one prefill, on one rank."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, llama, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, positions: Tensor, hidden_states: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    """positions: [tokens]; hidden_states: [tokens, hidden], the contribution of the layer before, or embedded tokens if
    ``residual`` is None; residual: [tokens, hidden].

    Returns:
        This layer's contribution and the residual stream without it, both [tokens, hidden].
    """
    return llama.layer(module, positions, hidden_states, residual)


def sglang(module: Any, positions: Tensor, hidden_states: Tensor, forward_batch: Any, residual: Tensor | None) -> Case:
    """Up to 0.5.22; later layers carry the residual out of sight."""
    return Case(module, (positions, hidden_states, residual))


def cost(module: Any, positions: Tensor, hidden_states: Tensor, residual: Tensor | None) -> Cost:
    """Both streams and all weights are read, both streams are written; keys and values go to the cache."""
    cached = positions.numel() * kept(module)
    moved = Cost(costs.size(hidden_states, residual), 2 * costs.size(hidden_states) + cached)
    return moved + costs.layer(module, positions.numel())


def kept(module: Any) -> int:
    """Keys and values of one token in the cache, in bytes."""
    return costs.kept(module.self_attn)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """First layer and later ones, one token, odd sizes."""
    draw = Draw(seed, dtype, device)
    positions = draw.shuffled(64).sort().values
    yield Case(standins.llama_layer(draw, 48, 72, 4, 2), (positions[:7], draw.normal(7, 48), None))
    yield Case(standins.llama_layer(draw, 48, 56, 4, 1), (positions[:17], draw.normal(17, 48), draw.normal(17, 48)))
    yield Case(standins.llama_layer(draw, 40, 33, 2, 2), (positions[:1], draw.normal(1, 40), draw.normal(1, 40)))
    yield Case(standins.llama_layer(draw, 32, 48, 4, 2), (positions[:33], draw.normal(33, 32), None))
