"""What a recorder knows of one case so far."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fk_overlay.capture import keeping
from fk_overlay.capture.keeping import Reservoir
from fk_overlay.capture.signature import Argument, Scalar, plain
from fk_overlay.plan import Watch

FIRST_TIMED, EVERY_TIMED, MOST_TIMED, ROUGH_TIMED = 8, 16, 64, 2
"""Timed are the first calls, then every 16th, at most so many; inside others that are timed, at most so many."""


@dataclass(slots=True)
class Entry:
    """One case: calls of one place that look alike.

    Attributes:
        due: a call that was to be timed came inside another that was; the next one is timed instead.
        times_s: of calls in which nothing else was timed. ``rough_s``: of the first call, which does once what the
            engine does lazily, and of calls that were timed inside others or had others timed inside them.
    """

    watch: Watch
    place: str
    recipe: str
    key: object
    signature: tuple[Argument, ...]
    reservoir: Reservoir
    results: tuple[Argument, ...] = ()
    calls: int = 0
    due: bool = False
    times_s: list[float] = field(default_factory=list)
    rough_s: list[float] = field(default_factory=list)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def time_this(self, number: int, inside: bool) -> bool:
        """Whether to time this call.

        Args:
            inside: another call is being timed around it; its time suffers, so that is done only for a case of which
                hardly anything is known.
        """
        scheduled = self.due or number <= FIRST_TIMED or number % EVERY_TIMED == 0
        self.due = scheduled and inside
        if inside:
            return not self.times_s and len(self.rough_s) < ROUGH_TIMED
        return scheduled and len(self.times_s) < MOST_TIMED

    def time(self, number: int, spent_s: float, disturbed: bool) -> None:
        (self.rough_s if disturbed or number == 0 else self.times_s).append(spent_s)

    def widen(self, scalars: Mapping[str, Scalar]) -> None:
        for path, value in scalars.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                low, high = self.bounds.get(path, (value, value))
                self.bounds[path] = min(low, value), max(high, value)

    @property
    def timed_s(self) -> list[float]:
        """The rough times count only where there are no others."""
        return self.times_s or self.rough_s

    def row(self, rank: int, folder: Path) -> dict[str, Any]:
        """The manifest's row; values are written to ``folder``."""
        signature = tuple(_bounded(each, self.bounds) for each in self.signature)
        snapshots = sorted((keeping.store(held, folder) for held in self.reservoir.held), key=lambda each: each.call)
        return {
            "id": hashlib.sha256(repr((rank, self.key)).encode()).hexdigest()[:16],
            "task": self.watch.task,
            "target": self.place,
            "rank": rank,
            "signature": plain(signature),
            "results": plain(self.results),
            "surroundings": plain(snapshots[0].surroundings),
            "module": self.recipe,
            "calls": self.calls,
            "timed": len(self.timed_s),
            "seconds": statistics.median(self.timed_s),
            "snapshots": plain(snapshots),
        }


def _bounded(argument: Argument, bounds: Mapping[str, tuple[float, float]], prefix: str = "") -> Argument:
    path = f"{prefix}.{argument.name}".lstrip(".")
    low, high = bounds.get(path, (None, None))
    items = tuple(_bounded(item, bounds, path) for item in argument.items)
    return replace(argument, low=low, high=high, items=items)
