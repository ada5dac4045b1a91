"""Successive halving (arXiv:1502.07943) against the clock: many configurations measured a little, few a lot.

Every figure is a ratio to the baseline measured right beside it, so that a card that warms up or slows down moves both.
The last one standing is then measured anew in pairs with the baseline, in alternating order; only this interval, which
took no part in the choice, decides whether it replaces the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from fk_overlay.errors import EngineError
from fk_overlay.stats.pairs import Interval, interval
from fk_overlay.tuning.bench import Bench, Timing
from fk_overlay.tuning.config import Config

State = Literal["tuned", "default", "unresolved"]
Known = Mapping[tuple[int, Config], float]
"""(rung, configuration) -> ratio, from an earlier session."""


@dataclass(frozen=True, slots=True)
class Rung:
    """Measure with ``calls`` calls each, until ``share`` of the slot is over; the best ``keep`` go on."""

    keep: int
    calls: int
    share: float


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search.

    Attributes:
        candidates: configurations on the first rung.
        block: so many configurations share one measurement of the baseline.
        pairs, calls: of the confirmation.
        minimum_effect: share by which a configuration must be faster to replace the baseline.
    """

    candidates: int = 48
    rungs: tuple[Rung, ...] = (Rung(12, 5, 0.65), Rung(3, 15, 0.8), Rung(1, 40, 0.9))
    block: int = 4
    pairs: int = 10
    calls: int = 15
    minimum_effect: float = 0.005


@dataclass(frozen=True, slots=True)
class Slot:
    """The time that a search may take."""

    clock: Callable[[], float]
    begin: float
    seconds: float

    def over(self, share: float = 1.0) -> bool:
        return self.clock() - self.begin >= share * self.seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known after a search.

    Attributes:
        state: ``tuned``: ``config`` is faster than the baseline by more than the minimum effect; ``default``: it is
            not, and ``config`` is the baseline; ``unresolved``: the time was over before this could be told.
        ratio: time of the last one standing over the baseline's, from the confirmation.
        baseline_s: median time of a call under the baseline, in the confirmation.
        measured: configurations that were measured at all.
    """

    state: State
    config: Config
    ratio: Interval | None = None
    baseline_s: float = math.nan
    measured: int = 0
    reason: str = ""


@dataclass(slots=True)
class Search:
    """One search. ``log(kind, **values)`` is told of everything that was measured, ``tell(what)`` of what goes on."""

    bench: Bench
    effort: Effort
    slot: Slot
    log: Callable[..., None]
    known: Known = field(default_factory=dict)
    tell: Callable[[str], None] = lambda what: None

    def run(self, candidates: Sequence[Config]) -> Outcome:
        """Find the fastest of ``candidates``, the most promising first."""
        alive: Sequence[Config] = [each for each in candidates if each != self.bench.baseline]
        measured = 0
        for number, rung in enumerate(self.effort.rungs):
            self.tell(f"rung {number + 1} of {len(self.effort.rungs)}, {len(alive)} configurations")
            ratios = dict(self._ratios(alive, number, rung))
            measured = measured or len(ratios)
            alive = sorted(ratios, key=ratios.__getitem__)[: rung.keep]
            if not alive:
                return self._unresolved(measured, f"nothing was measured on rung {number}")
        return self._confirm(alive[0], measured)

    def _ratios(self, alive: Sequence[Config], number: int, rung: Rung) -> Iterator[tuple[Config, float]]:
        """Configurations with their ratios, as far as the rung's time goes; those that cannot run are left out."""
        baseline, since = 0.0, self.effort.block
        for config in alive:
            if (number, config) in self.known:
                yield config, self.known[number, config]
                continue
            if self.slot.over(rung.share):
                return
            if since == self.effort.block:
                baseline, since = self._baseline(rung.calls), 0
            since += 1
            timing = self.bench.time(config, rung.calls)
            self._note(number, config, timing, baseline)
            if timing.seconds is not None:
                yield config, timing.seconds / baseline

    def _confirm(self, config: Config, measured: int) -> Outcome:
        self.tell("confirming the best one")
        logs: list[float] = []
        baselines: list[float] = []
        for number in range(self.effort.pairs):
            if self.slot.over():
                return self._unresolved(measured, f"the time was over after {number} of {self.effort.pairs} pairs")
            first = self._baseline(self.effort.calls) if number % 2 == 0 else None
            timing = self.bench.time(config, self.effort.calls)
            baseline = first if first is not None else self._baseline(self.effort.calls)
            if timing.seconds is None:
                self._note(len(self.effort.rungs), config, timing, baseline)
                return self._unresolved(measured, f"the best configuration stopped working: {timing.reason}")
            logs.append(math.log(timing.seconds / baseline))
            baselines.append(baseline)
            self.log("pair", config=config.engine(), seconds=timing.seconds, baseline_s=baseline)
        ratio = interval(logs)
        middle = median(baselines)
        if ratio.high < 1 - self.effort.minimum_effect:
            return Outcome("tuned", config, ratio, middle, measured)
        return Outcome("default", self.bench.baseline, ratio, middle, measured)

    def _baseline(self, calls: int) -> float:
        """Raises :class:`EngineError` if the engine's own configuration does not run: nothing can be judged then."""
        timing = self.bench.time(self.bench.baseline, calls)
        if timing.seconds is None:
            raise EngineError(f"the engine's own configuration does not run here: {timing.reason}")
        return timing.seconds

    def _note(self, rung: int, config: Config, timing: Timing, baseline: float) -> None:
        """Log a timing, from which the journal knows what not to try again; then stop if the card is lost."""
        values: dict[str, Any] = {"rung": rung, "config": config.engine(), "seconds": timing.seconds}
        self.log("timing", **values, baseline_s=baseline, reason=timing.reason)
        if timing.fatal:
            raise EngineError(
                f"{config} ended this process's use of the card ({timing.reason}); call again, it is left out then"
            )

    def _unresolved(self, measured: int, reason: str) -> Outcome:
        return Outcome("unresolved", self.bench.baseline, measured=measured, reason=reason)
