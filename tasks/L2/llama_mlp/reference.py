"""Oracle of ``llama_mlp``: ``down(silu(gate(x)) * up(x))`` (arXiv:2002.05202), on one rank.

vLLM rounds after each product and after the activation. The oracle does everything in the dtype of ``x``.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, llama, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, x: Tensor) -> Tensor:
    """x: [tokens, hidden] -> [tokens, hidden]. ``module.gate_up_proj.weight``: [2 inner, hidden], gate first."""
    return llama.mlp(module, x)


def sglang(module: Any, x: Tensor, forward_batch: Any = None) -> Case:
    """The batch steers communication between ranks only."""
    return Case(module, (x,))


def cost(module: Any, x: Tensor) -> Cost:
    """x and both weights are read, the result is written."""
    moved = costs.size(x)
    return Cost(moved, moved) + costs.mlp(module, x.numel() // x.shape[-1])


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Odd sizes, one token, a bias, a wide inner dimension."""
    draw = Draw(seed, dtype, device)
    yield Case(standins.llama_mlp(draw, 48, 72), (draw.normal(7, 48),))
    yield Case(standins.llama_mlp(draw, 32, 33), (draw.normal(1, 32),))
    yield Case(standins.llama_mlp(draw, 40, 56, bias=True), (draw.normal(65, 40),))
    yield Case(standins.llama_mlp(draw, 24, 500), (draw.normal(5, 24),))
