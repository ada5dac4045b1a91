"""Oracle of ``gelu_and_mul``: ``gelu(x[..., :d]) * x[..., d:]`` (arXiv:2002.05202, GELU from arXiv:1606.08415).

vLLM rounds the GELU to the dtype of ``x`` before it multiplies. The oracle does not.
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
    """x: [..., 2 d] -> [..., d]. ``module.approximate`` is ``none`` or ``tanh``."""
    return formulas.gated(x, "gelu_tanh" if module.approximate == "tanh" else "gelu")


def cost(module: Any, x: Tensor) -> Cost:
    """Both halves are read, one is written; an error function or hyperbolic tangent, and seven operations around it."""
    return Cost(costs.size(x), costs.size(x) // 2, 8 * (x.numel() // 2))


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Both approximations; odd widths, one token, a batch dimension, gates that saturate on both sides."""
    draw = Draw(seed, dtype, device)
    shapes = (((7, 66), 1.0), ((1, 16), 1.0), ((2, 3, 32), 2.0), ((65, 130), 1.0), ((5, 48), 8.0))
    for approximate in ("none", "tanh"):
        for shape, scale in shapes:
            yield Case(SimpleNamespace(approximate=approximate), (draw.normal(*shape, scale=scale),))
