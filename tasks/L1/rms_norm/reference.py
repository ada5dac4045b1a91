"""Oracle of ``rms_norm``: root mean square normalisation (arXiv:1910.07467) with an optional residual.

vLLM upcasts to float32, adds the residual there, normalises the unrounded sum, and rounds to the weight's dtype before
it multiplies. The oracle does everything in the dtype of ``x``.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
    """x, residual: [..., hidden] -> normalised [..., hidden]; with a residual also the sum ``x + residual``."""
    weight = module.weight if module.has_weight else None
    total = x if residual is None else x + residual
    normal = formulas.rms_norm(total, weight, module.variance_epsilon, module.variance_size_override)
    return normal if residual is None else (normal, total)


def sglang(
    module: Any,
    x: Tensor,
    residual: Tensor | None = None,
    post_residual_addition: Tensor | None = None,
    quant_linear: Any = None,
) -> Case:
    """A second tensor may be added to the sum. ``quant_linear`` permits a quantised result, and this oracle gives
    none."""
    if residual is not None and post_residual_addition is not None:
        residual = residual + post_residual_addition
    return Case(module, (x, residual))


def cost(module: Any, x: Tensor, residual: Tensor | None = None) -> Cost:
    """x and the residual are read, the result and the sum are written."""
    moved = costs.size(x, residual)
    weight = module.weight if module.has_weight else None
    return Cost(moved, moved) + costs.norm(x.numel(), weight, added=residual is not None)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd sizes, one token, heads of a query norm, rows where epsilon rules, rows of large values."""
    draw = Draw(seed, dtype, device)
    yield Case(standins.rms_norm(draw, 48), (draw.normal(7, 48),))
    yield Case(standins.rms_norm(draw, 33), (draw.normal(1, 33), draw.normal(1, 33)))
    yield Case(standins.rms_norm(draw, 96), (draw.normal(65, 96), draw.normal(65, 96, scale=4.0)))
    yield Case(standins.rms_norm(draw, 16, 1e-6), (draw.normal(5, 3, 16),))
    scales = draw.uniform(9, 1, low=0.0, high=0.01) ** 2
    yield Case(standins.rms_norm(draw, 64), (draw.normal(9, 64) * scales,))
    yield Case(standins.rms_norm(draw, 40), (draw.normal(3, 40, scale=500.0), draw.normal(3, 40)))
    partial = standins.rms_norm(draw, 32, has_weight=False)
    partial.variance_size_override = 24
    yield Case(partial, (draw.normal(6, 32), draw.normal(6, 32)))
