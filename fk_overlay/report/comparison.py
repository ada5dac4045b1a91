"""Values of both arms side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fk_overlay.core import BASELINE, Effect, Scenario, Verdict
from fk_overlay.scoring.effects import HEADLINE_METRIC
from fk_overlay.scoring.evidence import Evidence, Record, of_arm
from fk_overlay.stats.location import geometric_mean

Launches = dict[int, list[float]]
"""Restart -> values of the passes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one workload: geometric means over passes and the launches that have a partner in the other arm
    (arithmetic where a value is not positive). ``effect`` is their ratio, None where there is none."""

    workload: str
    metric: str
    unit: str
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    effect: Effect | None


def comparisons(evidence: Evidence, verdict: Verdict) -> Iterable[Comparison]:
    """Every metric that either arm recorded, in the order in which it was recorded first."""
    effects = {(effect.workload, effect.metric): effect for effect in verdict.effects}
    samples = evidence.timed(evidence.samples)
    ours, theirs = of_arm(samples, verdict.arm), of_arm(samples, BASELINE)
    for key, first in {(each["workload"], each["metric"]): each for each in (*theirs, *ours)}.items():
        sides = _by_restart(theirs, *key), _by_restart(ours, *key)
        paired = sides[0].keys() & sides[1].keys()
        baseline, candidate = (_mean(side, paired or side.keys()) for side in sides)
        yield Comparison(*key, first["unit"], first["higher_is_better"], baseline, candidate, effects.get(key))


def headline(evidence: Evidence, scenario: Scenario, arm: str) -> Launches:
    """The metric that decides, of one arm."""
    samples = of_arm(evidence.timed(evidence.samples), arm)
    return _by_restart(samples, scenario.headline_workload.name, HEADLINE_METRIC)


def _by_restart(samples: Iterable[Record], workload: str, metric: str) -> Launches:
    found: Launches = {}
    for sample in samples:
        if (sample["workload"], sample["metric"]) == (workload, metric):
            found.setdefault(sample["restart"], []).append(sample["value"])
    return dict(sorted(found.items()))


def _mean(launches: Launches, restarts: Collection[int]) -> float | None:
    """Mean over launches of the mean over passes, geometric unless a value is not positive."""
    passes = [launches[restart] for restart in restarts]
    if not passes:
        return None
    if min(map(min, passes)) > 0:
        return geometric_mean([geometric_mean(values) for values in passes])
    return sum(sum(values) / len(values) for values in passes) / len(passes)


def restart_sd(launches: Launches) -> float | None:
    """Standard deviation between restarts of the log of a value; None for fewer than two positive ones."""
    import numpy as np

    means = [geometric_mean(values) for values in launches.values() if min(values) > 0]
    return float(np.log(means).std(ddof=1)) if len(means) > 1 else None
