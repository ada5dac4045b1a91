"""Oracle of ``ir_fused_add_rms_norm``: vLLM's ``ir.ops.fused_add_rms_norm``.

vLLM adds in float32 and normalises the unrounded sum. The oracle does everything in the dtype of ``x``.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas
from fk_overlay.integrity.draw import Draw


def reference(
    module: None,
    x: Tensor,
    x_residual: Tensor,
    weight: Tensor | None,
    epsilon: float,
    variance_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """x, x_residual: [..., hidden], weight: [hidden] or None -> normalised sum and sum, [..., hidden] each. ``module``
    is None."""
    total = x + x_residual
    return formulas.rms_norm(total, weight, epsilon, variance_size), total


def cost(
    module: None,
    x: Tensor,
    x_residual: Tensor,
    weight: Tensor | None,
    epsilon: float,
    variance_size: int | None = None,
) -> Cost:
    """Both inputs and the weight are read, the result and the sum are written."""
    moved = costs.size(x, x_residual)
    return Cost(moved, moved) + costs.norm(x.numel(), weight, added=True)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd sizes, one token, a residual much larger or much smaller than the input, no weight, a partial variance."""
    draw = Draw(seed, dtype, device)
    yield Case(None, (draw.normal(7, 48), draw.normal(7, 48), draw.normal(48, scale=0.3, mean=1.0), 1e-5))
    yield Case(None, (draw.normal(1, 33), draw.normal(1, 33), draw.normal(33, scale=0.3, mean=1.0), 1e-6))
    yield Case(None, (draw.normal(65, 96), draw.normal(65, 96, scale=4.0), draw.normal(96, mean=1.0), 1e-5))
    yield Case(None, (draw.normal(3, 40, scale=500.0), draw.normal(3, 40), draw.normal(40, mean=1.0), 1e-5))
    yield Case(None, (draw.normal(6, 32), draw.normal(6, 32), None, 1e-5))
    yield Case(None, (draw.normal(9, 64), draw.normal(9, 64), draw.normal(64, mean=1.0), 1e-5, 48))
