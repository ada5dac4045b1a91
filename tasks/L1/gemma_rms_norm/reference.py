"""Oracle of ``gemma_rms_norm``: ``x / rms(x) * (1 + weight)``, as in google/gemma_pytorch, with an optional residual.

vLLM upcasts to float32 and rounds once, at the end. The oracle does everything in the dtype of ``x``.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas
from fk_overlay.integrity.draw import Draw


def reference(module: Any, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
    """x, residual: [..., hidden] -> normalised [..., hidden]; with a residual also the sum ``x + residual``."""
    total = x if residual is None else x + residual
    normal = formulas.rms_norm(total, 1 + module.weight.to(x.dtype), module.variance_epsilon)
    return normal if residual is None else (normal, total)


def sglang(
    module: Any,
    x: Tensor,
    residual: Tensor | None = None,
    post_residual_addition: Tensor | None = None,
) -> Case:
    """A second tensor may be added to the sum."""
    if residual is not None and post_residual_addition is not None:
        residual = residual + post_residual_addition
    return Case(module, (x, residual))


def cost(module: Any, x: Tensor, residual: Tensor | None = None) -> Cost:
    """x and the residual are read, the result and the sum are written."""
    moved = costs.size(x, residual)
    return Cost(moved, moved) + costs.norm(x.numel(), module.weight, added=residual is not None)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd sizes, one token, heads of a query norm, rows where epsilon rules, rows of large values."""
    draw = Draw(seed, dtype, device)

    def norm(hidden: int) -> SimpleNamespace:
        return SimpleNamespace(weight=draw.normal(hidden, scale=0.3), variance_epsilon=1e-6)

    yield Case(norm(48), (draw.normal(7, 48),))
    yield Case(norm(33), (draw.normal(1, 33), draw.normal(1, 33)))
    yield Case(norm(96), (draw.normal(65, 96), draw.normal(65, 96, scale=4.0)))
    yield Case(norm(16), (draw.normal(5, 3, 16),))
    yield Case(norm(64), (draw.normal(9, 64) * draw.uniform(9, 1, low=0.0, high=0.005) ** 2,))
    yield Case(norm(40), (draw.normal(3, 40, scale=500.0), draw.normal(3, 40)))
