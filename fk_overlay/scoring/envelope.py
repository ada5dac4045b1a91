"""The envelope: how far the baseline differs from itself between launches, in forced decode and on timed traffic.

A candidate is held to what the baseline does to itself, not to bit equality. Timed traffic brings the variation of
batch composition with it. Constants are those of the published MACROEVAL configuration: the 95 % quantile, floor
0.001, fallback 0.02, cap 0.5 (:class:`fk_overlay.core.Correctness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from fk_overlay.core import BASELINE, Correctness
from fk_overlay.scoring.evidence import Evidence, Record, of_arm
from fk_overlay.scoring.forced import Discrepancy, comparable, compare, item_correctness
from fk_overlay.scoring.traffic import Divergence, divergences
from fk_overlay.stats.location import quantile

QUANTILE = 0.95
MARGIN_FLOOR = 0.5
"""Nats. Baselines are often bit-identical between launches, which would make every near tie of an honest kernel an
error. bfloat16 keeps 8 bits, so logits between 16 and 32 are 0.125 apart; two such steps in each of the two logits
make 0.5."""
LEAST_AGREEMENT = 0.5
"""A baseline that agrees with itself on fewer tokens cannot judge another kernel."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The noise level of one run.

    Attributes:
        top1: g for the share of tokens whose most likely token differs.
        drift: g for the mean log-probability drift, nats.
        margin: a flip at a baseline margin above this, nats, is an error.
        cliff: f, the discrepancy at which correctness is zero.
        agreement: share of tokens on which the baseline agrees with itself; None if it was not compared with itself.
        items: the baseline against itself, one per request and pair of launches or batch compositions.
    """

    top1: float
    drift: float
    margin: float
    cliff: float
    cap: float
    agreement: float | None
    items: tuple[Discrepancy, ...] = ()

    @property
    def calibrated(self) -> bool:
        """Whether the baseline agrees with itself well enough to judge by; true without any comparison (fallback)."""
        return self.agreement is None or self.agreement >= LEAST_AGREEMENT

    def scaled(self, factor: float) -> Envelope:
        """The same envelope with ``factor`` times the noise, for the sensitivity of a score."""
        return replace(self, top1=min(self.cap, factor * self.top1), drift=min(self.cap, factor * self.drift))

    def correctness(self, item: Discrepancy) -> float:
        """0 to 1, the worse of token agreement and log-probability drift."""
        return min(
            item_correctness(item.top1, self.top1, self.cliff), item_correctness(item.drift, self.drift, self.cliff)
        )

    def mean_correctness(self, items: Sequence[Discrepancy]) -> float | None:
        """Mean over requests of the mean over launches; None for no items."""
        by_request: dict[int, list[float]] = {}
        for item in items:
            by_request.setdefault(item.request, []).append(self.correctness(item))
        means = [sum(values) / len(values) for values in by_request.values()]
        return sum(means) / len(means) if means else None


def calibrate(evidence: Evidence, rules: Correctness, headline: str) -> Envelope:
    """The envelope from the baseline launches of a run, every two forced decodes against each other."""
    forced = of_arm(evidence.sound(evidence.forced), BASELINE)
    both_ways = [(compare(one, two), compare(two, one)) for one, two in combinations(forced, 2) if comparable(one, two)]
    items = tuple(forth for forth, _ in both_ways)
    margins = [flip.margin for pair in both_ways for item in pair for flip in item.flips]
    margins += [found.margin for found in _timed(evidence, forced, headline) if found.margin is not None]
    tokens = sum(item.tokens for item in items)
    informative = any(item.top1 or item.drift for item in items)
    return Envelope(
        top1=_noise([item.top1 for item in items], rules, informative=informative),
        drift=_noise([item.drift for item in items], rules, informative=informative),
        margin=max([MARGIN_FLOOR, *margins]),
        cliff=rules.cliff,
        cap=rules.cap,
        agreement=1 - sum(item.top1 * item.tokens for item in items) / tokens if tokens else None,
        items=items,
    )


def _timed(evidence: Evidence, forced: Sequence[Record], headline: str) -> Iterable[Divergence]:
    """Timed outputs of each baseline launch against those of the others, of requests whose margins are known."""
    known = {(headline, record["request"]) for record in forced}
    timed = of_arm(evidence.timed(evidence.requests), BASELINE)
    requests = [record for record in timed if (record["workload"], record["request"]) in known]
    for launch in dict.fromkeys(record["launch"] for record in requests):
        own = [record for record in requests if record["launch"] == launch]
        others = [record for record in requests if record["launch"] != launch]
        elsewhere = [record for record in forced if record["launch"] != launch]
        yield from divergences(own, others, elsewhere, headline)


def _noise(values: Sequence[float], rules: Correctness, *, informative: bool) -> float:
    """g: the 95 % quantile of A/A between floor and cap, or the fallback where A/A says nothing of rounding.

    That is so without any A/A, and where the baseline repeats itself to the bit, as on CPUs: a kernel that rounds
    differently, even better, would be held to a noise of zero.
    """
    if not informative:
        return rules.fallback
    return min(rules.cap, max(rules.floor, quantile(values, QUANTILE)))
