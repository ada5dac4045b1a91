"""What a wrong result is made of."""

from __future__ import annotations

import math

import pytest
import torch

from fk_overlay.bench.evidence import poisoned

RIGHT = torch.linspace(-1, 1, 8, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("poison", [None, 1.257])
def test_what_nobody_wrote_is_told_by_what_its_memory_was_filled_with(poison: float | None, dtype: torch.dtype) -> None:
    out = RIGHT.to(dtype)
    assert poisoned(out, RIGHT, poison) == 0
    out[:2] = math.nan if poison is None else poison
    assert poisoned(out, RIGHT, poison) == 0.25


def test_what_should_be_so_is_not_poison() -> None:
    nan = torch.full((4,), math.nan)
    assert poisoned(nan, nan.double(), None) == 0
    assert poisoned(torch.full((4,), 0.5), torch.full((4,), 0.5, dtype=torch.float64), 0.5) == 0


def test_other_shapes_and_integers_hold_none() -> None:
    assert poisoned(torch.full((4,), math.nan), RIGHT, None) == 0
    assert poisoned(torch.ones(8, dtype=torch.int64), RIGHT, 1.0) == 0
