"""From samples to effects: candidate over baseline, oriented so that more than 1 is better.

The passes of a launch are averaged (mean of logs), launches with the same ``restart`` form a pair, and the interval is
over pairs. A metric that is not positive somewhere has no ratio: it is named by :func:`without_ratio`, never patched
up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from fk_overlay.core import BASELINE, Effect, Merit, Mode
from fk_overlay.scoring.evidence import Record
from fk_overlay.stats.pairs import Interval, interval

Key = tuple[str, str]
"""Workload and metric."""

HEADLINE_METRIC = "output_throughput"
"""Output tokens per second of one pass, counted by the client; the metric that decides the merit."""

SCREEN_FACTOR = 5
"""A screen has too few pairs for a claim. It calls an arm regressed only when the interval ends below 1 - 5 d."""


def log_ratios(samples: Iterable[Record], candidate: str, baseline: str = BASELINE) -> dict[Key, dict[int, float]]:
    """ln(candidate / baseline) of every restart pair that both arms measured, by (workload, metric) and restart.

    Lower-is-better metrics are inverted. Metrics with a value that is not positive and finite are left out.
    """
    grouped = _grouped(samples, (baseline, candidate))
    return {
        key: {
            restart: sign * (_mean_log(arms[candidate][restart]) - _mean_log(arms[baseline][restart]))
            for restart in sorted(arms[candidate].keys() & arms[baseline].keys())
        }
        for key, (sign, arms) in grouped.items()
        if _positive(arms)
    }


def without_ratio(samples: Iterable[Record], candidate: str, baseline: str = BASELINE) -> list[Key]:
    """(workload, metric) pairs of which some value is zero, negative or not finite, so that no ratio exists. Metrics
    that are zero throughout (failures, say) are left out: there is nothing to tell."""
    return [
        key
        for key, (_, arms) in _grouped(samples, (baseline, candidate)).items()
        if not _positive(arms) and any(_values(arms))
    ]


def effects(
    samples: Iterable[Record], candidate: str, minimum_effect: float, mode: Mode = "decide", baseline: str = BASELINE
) -> list[Effect]:
    """One effect per (workload, metric) that both arms measured in at least one pair.

    Args:
        minimum_effect: d, a share.
        mode: decides which merits may be claimed at all, see :func:`merit_of`.
    """
    found = []
    for (workload, metric), pairs in log_ratios(samples, candidate, baseline).items():
        if pairs:
            span = interval(list(pairs.values()))
            merit = merit_of(span, minimum_effect, mode)
            found.append(Effect(workload, metric, span.ratio, span.low, span.high, span.pairs, span.sd, merit))
    return found


def merit_of(span: Interval, minimum_effect: float, mode: Mode = "decide") -> Merit:
    """What an interval says about a ratio, with d = ``minimum_effect``."""
    if mode == "screen":
        return "regressed" if span.high < 1 - SCREEN_FACTOR * minimum_effect else "unresolved"
    if span.low > 1 + minimum_effect:
        return "improved"
    if span.high < 1 - minimum_effect:
        return "regressed"
    inside = span.low >= 1 - minimum_effect and span.high <= 1 + minimum_effect
    return "neutral" if inside else "unresolved"


Values = dict[str, dict[int, list[float]]]
"""Arm, restart, values of its passes."""


def _grouped(samples: Iterable[Record], arms: tuple[str, str]) -> dict[Key, tuple[int, Values]]:
    grouped: dict[Key, tuple[int, Values]] = {}
    for sample in samples:
        if sample["arm"] in arms:
            key = sample["workload"], sample["metric"]
            sign = 1 if sample["higher_is_better"] else -1
            _, values = grouped.setdefault(key, (sign, {arm: {} for arm in arms}))
            values[sample["arm"]].setdefault(sample["restart"], []).append(sample["value"])
    return grouped


def _positive(arms: Mapping[str, Mapping[int, list[float]]]) -> bool:
    return all(0 < value < math.inf for value in _values(arms))


def _values(arms: Mapping[str, Mapping[int, list[float]]]) -> Iterator[float]:
    return (value for restarts in arms.values() for values in restarts.values() for value in values)


def _mean_log(values: list[float]) -> float:
    return math.fsum(map(math.log, values)) / len(values)
