"""Intervals over restart pairs: the launch of a server is the unit of replication, so n is the number of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
MOST_PAIRS = 200
"""Beyond this many pairs, running more is no advice: the effect is too near to the boundary."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio with its 95 % interval.

    Attributes:
        ratio: exp(mean of the log ratios).
        low, high: 0 and infinity where one pair says nothing about the spread.
        pairs: how many log ratios went in.
        sd: standard deviation of the log ratio between pairs, nan for one pair.
    """

    ratio: float
    low: float
    high: float
    pairs: int
    sd: float

    def contains(self, ratio: float) -> bool:
        return self.low <= ratio <= self.high


def interval(log_ratios: Sequence[float]) -> Interval:
    """Student t interval on K log ratios, K - 1 degrees of freedom.

    Args:
        log_ratios: ln(B/A) of each restart pair, shape (K,); passes of one pair are averaged before.

    Raises:
        ValueError: there is no pair, or a log ratio is not finite.
    """
    logs = np.asarray(log_ratios, dtype=float)
    if logs.size == 0 or not np.isfinite(logs).all():
        raise ValueError(f"an interval needs at least one finite log ratio, not {logs.tolist()}")
    mean = float(logs.mean())
    if logs.size == 1:
        return Interval(math.exp(mean), 0.0, math.inf, 1, math.nan)
    sd = float(logs.std(ddof=1))
    half = half_width(sd, logs.size)
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), logs.size, sd)


def half_width(sd: float, pairs: int) -> float:
    """Half of the 95 % interval's width on the log scale, t(K - 1) * sd / sqrt(K), for K = ``pairs`` >= 2."""
    return t_quantile(pairs - 1) * sd / math.sqrt(pairs)


def t_quantile(df: float) -> float:
    """Upper quantile of Student's t that leaves 2.5 % above it."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    return float(stdtrit(df, (1 + CONFIDENCE) / 2))


def pairs_needed(sd: float, minimum_effect: float, ratio: float, have: int = 0) -> int | None:
    """How many more pairs until the interval would lie on one side of both 1 - d and 1 + d, or between them.

    Takes the observed ``ratio`` and ``sd`` for the truth, so the advice holds in about every second case.

    Args:
        minimum_effect: d, a share.
        have: pairs that were measured already.

    Returns:
        None if more than ``MOST_PAIRS`` in all were needed, or the spread is not known.
    """
    if not math.isfinite(sd):
        return None
    room = min(abs(math.log(ratio / (1 + minimum_effect))), abs(math.log(ratio / (1 - minimum_effect))))
    for pairs in range(max(2, have), MOST_PAIRS + 1):
        if half_width(sd, pairs) < room:
            return pairs - have
    return None
