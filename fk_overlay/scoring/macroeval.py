"""MACROEVAL: one score over models and families, with everything it is made of beside it.

Per model s = throughput^lambda * latency^(1 - lambda), lambda = 0.5, each a geometric mean of speedups over workloads.
A model is valid if it is complete, engaged and its correctness C is at least 0.9. Per family S_f is the geometric mean
of s over valid models, C_f the mean correctness (incomplete counts 0), Cov_f the valid share. Over families S is the
geometric mean of S_f, C and Cov are means, and Score = S * C * Cov. Source: the public leaderboard of FastKernels and
its paper; the mapping from discrepancy to correctness is reconstructed from published numbers
(:mod:`fk_overlay.scoring.forced`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fk_overlay.scoring.envelope import Envelope
from fk_overlay.scoring.forced import Discrepancy
from fk_overlay.stats.location import geometric_mean
from fk_overlay.stats.pairs import interval, t_quantile

LAMBDA = 0.5
LEAST_CORRECTNESS = 0.9


@dataclass(frozen=True, slots=True)
class Model:
    """What was measured of one model.

    Attributes:
        log_speedups: ln s of each restart pair, see :func:`log_speedup`.
        items: forced decodes of the candidate; with ``envelope`` they give the correctness.
    """

    name: str
    family: str
    log_speedups: tuple[float, ...]
    items: tuple[Discrepancy, ...]
    envelope: Envelope
    engaged: bool = True
    complete: bool = True

    @property
    def speedup(self) -> float:
        """s; ``nan`` for a model without a complete pair, which is never valid."""
        return math.exp(math.fsum(self.log_speedups) / len(self.log_speedups)) if self.log_speedups else math.nan

    def correctness(self, noise: float = 1.0) -> float:
        """C at ``noise`` times the measured noise level; 0 for a model that is incomplete or was not judged."""
        return (self.envelope.scaled(noise).mean_correctness(self.items) or 0.0) if self.complete else 0.0

    def valid(self, noise: float = 1.0) -> bool:
        measured = self.complete and self.engaged and bool(self.log_speedups)
        return measured and self.correctness(noise) >= LEAST_CORRECTNESS


@dataclass(frozen=True, slots=True)
class Part:
    """S, C and Cov of a family or of all of them. ``speedup`` is None where no model is valid."""

    speedup: float | None
    correctness: float
    coverage: float

    @property
    def score(self) -> float:
        """S * C * Cov; 0 where no model is valid."""
        return (self.speedup or 0.0) * self.correctness * self.coverage


@dataclass(frozen=True, slots=True)
class Macro:
    """The score and what it is made of.

    Attributes:
        low, high: 95 % interval of the score from the spread of S between restarts; C and Cov are taken as known.
            None where a valid model has fewer than two pairs, or none is valid.
        half_noise, twice_noise: the score at half and twice the noise level g.
        wins: (p, share of all models that are valid with s > p).
    """

    total: Part
    families: dict[str, Part]
    low: float | None
    high: float | None
    half_noise: float
    twice_noise: float
    wins: tuple[tuple[float, float], ...]


WIN_GRID = (0.8, 0.9, 0.95, 1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0)


def speedup(throughput: Sequence[float], latency: Sequence[float], weight: float = LAMBDA) -> float:
    """s of one model from its speedups per workload, both oriented so that more than 1 is better.

    Raises:
        ValueError: a list is empty or holds a value that is not positive.
    """
    return math.exp(log_speedup(throughput, latency, weight))


def log_speedup(throughput: Sequence[float], latency: Sequence[float], weight: float = LAMBDA) -> float:
    """ln s, the same as :func:`speedup`; of one restart pair if the speedups are those of one pair."""
    return weight * math.log(geometric_mean(throughput)) + (1 - weight) * math.log(geometric_mean(latency))


def macroeval(models: Sequence[Model], wins: Sequence[float] = WIN_GRID) -> Macro:
    """Raises ValueError for no models."""
    if not models:
        raise ValueError("a score needs at least one model")
    families, total = _parts(models, 1.0)
    low, high = _interval(models, total)
    return Macro(
        total=total,
        families=families,
        low=low,
        high=high,
        half_noise=_parts(models, 0.5)[1].score,
        twice_noise=_parts(models, 2.0)[1].score,
        wins=tuple((p, sum(model.valid() and model.speedup > p for model in models) / len(models)) for p in wins),
    )


def _parts(models: Sequence[Model], noise: float) -> tuple[dict[str, Part], Part]:
    names = dict.fromkeys(model.family for model in models)
    families = {name: _family([model for model in models if model.family == name], noise) for name in names}
    return families, combine(list(families.values()))


def _family(models: Sequence[Model], noise: float) -> Part:
    valid = [model.speedup for model in models if model.valid(noise)]
    correctness = sum(model.correctness(noise) for model in models) / len(models)
    return Part(geometric_mean(valid) if valid else None, correctness, len(valid) / len(models))


def combine(families: Sequence[Part]) -> Part:
    """S over families with a valid model, C and Cov over all."""
    speedups = [family.speedup for family in families if family.speedup is not None]
    return Part(
        geometric_mean(speedups) if speedups else None,
        sum(family.correctness for family in families) / len(families),
        sum(family.coverage for family in families) / len(families),
    )


def _interval(models: Sequence[Model], total: Part) -> tuple[float | None, float | None]:
    """ln S is a weighted sum of the models' ln s: variances add, degrees of freedom after Welch and Satterthwaite."""
    valid = [model for model in models if model.valid()]
    if not valid or any(len(model.log_speedups) < 2 for model in valid):
        return None, None
    sizes = {model.family: sum(other.family == model.family for other in valid) for model in valid}
    parts = []
    for model in valid:
        spread = interval(model.log_speedups)
        weight = 1 / (len(sizes) * sizes[model.family])
        parts.append((weight**2 * spread.sd**2 / spread.pairs, spread.pairs - 1))
    variance = math.fsum(part for part, _ in parts)
    if variance == 0:
        return total.score, total.score
    df = variance**2 / math.fsum(part**2 / free for part, free in parts)
    half = t_quantile(df) * math.sqrt(variance)
    return total.score * math.exp(-half), total.score * math.exp(half)
