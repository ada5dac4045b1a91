"""Oracle of ``vocab_parallel_embedding`` on one rank: rows of a table."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs
from fk_overlay.integrity.draw import Draw


def reference(module: Any, input_: Tensor) -> Tensor:
    """input_: [...] of int32 or int64 -> [..., dim] in the dtype of ``module.weight`` [padded vocabulary, dim].

    Raises:
        ValueError: the module is one shard of several; what it returns depends on the others.
    """
    if module.tp_size != 1:
        raise ValueError("this oracle knows one rank; judge vocab_parallel_embedding with tensor_parallel = 1")
    return module.weight[input_.long()]


def cost(module: Any, input_: Tensor) -> Cost:
    """A row of the table is read and written for every id."""
    rows = input_.numel() * module.weight.shape[1] * module.weight.itemsize
    return Cost(costs.size(input_) + rows, rows)


def fresh(module: Any, arguments: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Any ids of the vocabulary."""
    ids = arguments["input_"]
    return {"input_": Draw(seed, torch.float32).integers(module.org_vocab_size, *ids.shape).to(ids.dtype)}


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Ids in both integer widths, repeated, first and last, one, and in two dimensions; a padded vocabulary."""
    draw = Draw(seed, dtype, device)
    table = SimpleNamespace(tp_size=1, weight=draw.normal(128, 33), org_vocab_size=101, embedding_dim=33)
    ids = draw.integers(101, 40)
    ids[:4] = ids.new_tensor([0, 100, 7, 7])
    yield Case(table, (ids,))
    yield Case(table, (ids.int(),))
    yield Case(table, (draw.integers(101, 1),))
    yield Case(table, (draw.integers(101, 3, 5),))
