"""Oracle of ``silu_and_mul``: ``silu(x[..., :d]) * x[..., d:]`` (arXiv:2002.05202).

vLLM rounds the SiLU to the dtype of ``x`` before it multiplies. The oracle does not.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas
from fk_overlay.integrity.draw import Draw


def reference(module: Any, x: Tensor) -> Tensor:
    """x: [..., 2 d] -> [..., d]."""
    return formulas.gated(x, "silu")


def cost(module: Any, x: Tensor) -> Cost:
    """Both halves are read, one is written."""
    return Cost(costs.size(x), costs.size(x) // 2) + costs.gated(x.numel() // 2)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd widths, one token, a batch dimension, gates that saturate on both sides."""
    draw = Draw(seed, dtype, device)
    for shape, scale in (((7, 66), 1.0), ((1, 16), 1.0), ((2, 3, 32), 2.0), ((65, 130), 1.0), ((5, 48), 30.0)):
        yield Case(SimpleNamespace(), (draw.normal(*shape, scale=scale),))
