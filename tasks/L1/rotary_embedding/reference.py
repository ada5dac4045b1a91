"""Oracle of ``rotary_embedding`` (arXiv:2104.09864).

vLLM casts its table to the query's dtype; the oracle takes the table as it is. The live target may write its results
over ``query`` and ``key``; the oracle leaves them alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, positions: Tensor, query: Tensor, key: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """positions: [tokens]; query: [tokens, heads * head_size]; key: [tokens, kv_heads * head_size] or None.

    Returns:
        Turned query and key, None for no key.
    """
    geometry = (module.cos_sin_cache, module.head_size, module.rotary_dim, module.is_neox_style)
    turned = formulas.rotate(query, positions, *geometry)
    return turned, None if key is None else formulas.rotate(key, positions, *geometry)


def sglang(
    module: Any,
    positions: Tensor,
    query: Tensor,
    key: Tensor,
    offsets: Tensor | None = None,
    fused_set_kv_buffer_arg: Any = None,
) -> Case:
    """Offsets are added to the positions, which may have any shape. Raises :class:`ValueError` if the cache is to be
    written too."""
    if fused_set_kv_buffer_arg is not None:
        raise ValueError("this oracle writes no cache; judge rotary_embedding without fused_set_kv_buffer_arg")
    return Case(module, ((positions if offsets is None else positions + offsets).flatten(), query, key))


def cost(module: Any, positions: Tensor, query: Tensor, key: Tensor | None = None) -> Cost:
    """Query and key are read and written, and a row of the table is read for every token."""
    moved = costs.size(query, key)
    rows = positions.numel() * module.rotary_dim * module.cos_sin_cache.itemsize
    heads = (query.numel() + (0 if key is None else key.numel())) // module.head_size
    return Cost(moved + costs.size(positions) + rows, moved, 3 * heads * module.rotary_dim)


def fresh(module: Any, arguments: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Positions anywhere in the table."""
    positions = arguments["positions"]
    drawn = Draw(seed, torch.float32).integers(module.cos_sin_cache.shape[0], *positions.shape)
    return {"positions": drawn.to(positions.dtype)}


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Positions in any order and repeated, the last one, grouped heads, part of a head, both pairings, no key."""
    draw = Draw(seed, dtype, device)
    positions = draw.shuffled(64)
    whole, interleaved = standins.rotary(draw, 16), standins.rotary(draw, 16, neox=False)
    yield Case(whole, (positions[:7], draw.normal(7, 64), draw.normal(7, 32)))
    yield Case(whole, (positions[:1] * 0 + 63, draw.normal(1, 48), draw.normal(1, 16)))
    yield Case(interleaved, (draw.integers(64, 33), draw.normal(33, 64), draw.normal(33, 16)))
    partial = standins.rotary(draw, 24, rotary_dim=16)
    yield Case(partial, (positions[:5], draw.normal(5, 72), draw.normal(5, 24)))
    yield Case(whole, (positions[:9], draw.normal(9, 32), None))
