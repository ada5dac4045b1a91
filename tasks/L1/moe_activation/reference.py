"""Oracle of ``moe_activation``: ``activation(input[:, :d]) * input[:, d:]`` (arXiv:2002.05202).

vLLM rounds the activation to the dtype of ``input`` before it multiplies. The oracle does not.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas
from fk_overlay.integrity.draw import Draw

UNUSED = ("output",)
GATED = ("silu", "gelu", "gelu_tanh")


def reference(module: Any, activation: Any, output: Tensor, input: Tensor) -> Tensor:
    """The new ``output`` [pairs, d]; the target itself returns nothing.

    Args:
        activation: vLLM's MoEActivation or its value: ``silu``, ``gelu``, ``gelu_tanh``.
        input: [pairs, 2 d], the gate first.

    Raises:
        ValueError: the activation is another one, or has a limit.
    """
    name = getattr(activation, "value", activation)
    # Where vLLM keeps it: from 0.30 on in a configuration of the activation's own, before that in the quantisation's.
    held = getattr(module, "activation_config", None)
    limit = held.clamp_limit if held is not None else module.quant_config.gemm1_clamp_limit
    if name not in GATED or limit is not None:
        raise ValueError(f"this oracle knows {', '.join(GATED)} without a limit, not {name!r} with limit {limit}")
    return formulas.gated(input, name)


def cost(module: Any, activation: Any, output: Tensor, input: Tensor) -> Cost:
    """Both halves are read, one is written."""
    return Cost(costs.size(input), costs.size(output)) + costs.gated(output.numel())


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Every activation; odd widths, one pair, gates that saturate on both sides, a row that is part of a wider one."""
    draw = Draw(seed, dtype, device)
    module = SimpleNamespace(activation_config=SimpleNamespace(clamp_limit=None))

    def case(name: str, pairs: int, d: int, scale: float = 1.0) -> Case:
        output = draw.normal(pairs, d) * torch.nan
        return Case(module, (SimpleNamespace(value=name), output, draw.normal(pairs, 2 * d, scale=scale)))

    for name in GATED:
        yield case(name, 7, 33)
        yield case(name, 1, 8)
        yield case(name, 65, 65, 2.0)
        yield case(name, 5, 24, 8.0)
    name, output, wide = SimpleNamespace(value="silu"), draw.normal(9, 48) * torch.nan, draw.normal(9, 128)
    yield Case(module, (name, output, wide[:, :96]))
