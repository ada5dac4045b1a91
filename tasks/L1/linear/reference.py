"""Oracle of ``linear``: ``x @ layer.weight.T + bias``.

vLLM accumulates in float32 and rounds once. The oracle does everything in the dtype of ``x``.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """x: [..., in], ``layer.weight``: [out, in], bias: [out] or None -> [..., out]. ``module`` is the linear method."""
    return formulas.linear(x, layer.weight, bias)


def cost(module: Any, layer: Any, x: Tensor, bias: Tensor | None = None) -> Cost:
    """x, weight and bias are read, the product is written."""
    outputs, inputs = layer.weight.shape
    tokens = x.numel() // inputs
    return Cost(costs.size(x), tokens * outputs * x.itemsize) + costs.product(tokens, layer.weight, bias)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """No multiple of a tile, one token, a long sum, a batch dimension, and 0/1 matrices, whose product is exact in any
    order of summation."""
    draw = Draw(seed, dtype, device)
    method = SimpleNamespace()
    for shape, outputs, bias in (
        ((7, 40), 24, True),
        ((1, 16), 33, False),
        ((3, 1000), 17, False),
        ((2, 3, 72), 65, True),
    ):
        layer = standins.linear(draw, shape[-1], outputs)
        yield Case(method, (layer, draw.normal(*shape), draw.normal(outputs) if bias else None))
    binary = SimpleNamespace(weight=draw.integers(2, 19, 64).to(dtype))
    yield Case(method, (binary, draw.integers(2, 5, 64).to(dtype)))
