"""Quantiles and geometric means, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.stats.location import geometric_mean, quantile

positive = st.lists(st.floats(0.01, 100), min_size=1, max_size=20)


def test_quantile_interpolates() -> None:
    assert quantile([0.0, 1.0, 2.0, 3.0], 0.95) == pytest.approx(2.85)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [1.0, -2.0], [float("nan")]])
def test_a_zero_never_enters_a_geometric_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="positive values"):
        geometric_mean(values)


@given(positive, st.floats(0.1, 10))
def test_the_geometric_mean_scales_and_stays_between_the_extremes(values: list[float], factor: float) -> None:
    mean = geometric_mean(values)
    assert min(values) * (1 - 1e-9) <= mean <= max(values) * (1 + 1e-9)
    assert geometric_mean([factor * value for value in values]) == pytest.approx(factor * mean)
