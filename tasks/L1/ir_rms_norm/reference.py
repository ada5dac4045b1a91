"""Oracle of ``ir_rms_norm``: root mean square normalisation (arXiv:1910.07467) as vLLM's ``ir.ops.rms_norm``.

vLLM computes in float32 and rounds to the weight's dtype before it multiplies. The oracle does everything in the dtype
of ``x``.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas
from fk_overlay.integrity.draw import Draw


def reference(
    module: None, x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> Tensor:
    """x: [..., hidden], weight: [hidden] or None -> [..., hidden]. ``module`` is None."""
    return formulas.rms_norm(x, weight, epsilon, variance_size)


def cost(module: None, x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Cost:
    """x and the weight are read, the result is written."""
    return Cost(costs.size(x), costs.size(x)) + costs.norm(x.numel(), weight)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd sizes, one token, heads of a query norm, rows where epsilon rules, no weight, a partial variance."""
    draw = Draw(seed, dtype, device)
    yield Case(None, (draw.normal(7, 48), draw.normal(48, scale=0.3, mean=1.0), 1e-5))
    yield Case(None, (draw.normal(1, 33), draw.normal(33, scale=0.3, mean=1.0), 1e-6))
    yield Case(None, (draw.normal(5, 3, 16), draw.normal(16, scale=0.3, mean=1.0), 1e-6))
    scales = draw.uniform(9, 1, low=0.0, high=0.01) ** 2
    yield Case(None, (draw.normal(9, 64) * scales, draw.normal(64, scale=0.3, mean=1.0), 1e-5))
    yield Case(None, (draw.normal(6, 32, scale=100.0), None, 1e-5))
    yield Case(None, (draw.normal(65, 96), draw.normal(96, scale=0.3, mean=1.0), 1e-5, 72))
