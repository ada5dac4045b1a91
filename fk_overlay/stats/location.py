"""Where a set of values lies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie, interpolated linearly. Raises ValueError for no values."""
    if not len(values):
        raise ValueError("there is no quantile of no values")
    return float(np.quantile(np.asarray(values, dtype=float), share))


def geometric_mean(values: Sequence[float]) -> float:
    """Raises ValueError for no values, and for a value that is not positive: one zero would hide all the others."""
    if not len(values) or not all(value > 0 for value in values):
        raise ValueError(f"a geometric mean needs positive values, not {list(values)}")
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))
