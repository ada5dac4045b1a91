"""From where time went to what could be gained: one row a task, before and after a patch, ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fk_overlay.core import Level, Task
from fk_overlay.profiling.attribution import OUTSIDE, Clock, Usage

NOTHING: Mapping[str, float] = {}
LARGEST = 8
"""Operators or kernels that are listed of each task."""


@dataclass(frozen=True, slots=True)
class Part:
    """One operator or kernel of a task. ``after_ms`` is None without a patch; ``ms`` is 0 for what only it runs."""

    name: str
    calls: int
    ms: float
    after_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One task.

    Attributes:
        calls: of its places; 0 where calls cannot be seen (CUDA graphs).
        own_ms: in none of the tasks inside it. ``total_ms``: with them, which is what a patch for it would replace.
        share: total over the whole window.
        achieved: share of its roofline that the engine's own code reaches, None where that is not known.
        after_own_ms, after_total_ms: with the patch.
    """

    task: str
    level: Level
    places: tuple[str, ...]
    calls: int
    own_ms: float
    total_ms: float
    share: float
    parts: tuple[Part, ...]
    achieved: float | None = None
    after_own_ms: float | None = None
    after_total_ms: float | None = None

    @property
    def at_most(self) -> float:
        """Speedup of the whole if the task ran at its roofline; where that is not known, if it took no time at all."""
        return ceiling(self.share, self.achieved or 0.0)

    @property
    def change(self) -> float | None:
        """Total time with the patch over that without, minus 1; None where one of them is missing."""
        return self.after_total_ms / self.total_ms - 1 if self.after_total_ms is not None and self.total_ms else None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time of a load went.

    Attributes:
        clock: ``device``: time of kernels on the GPUs. ``cpu``: own time of operators and of Python inside ranges.
        window_ms: first range's begin to last one's end, of all ranks together.
        outside_ms: operators or kernels in no task. ``idle_ms``: the rest of the window.
        rows: what could be gained most first.
    """

    clock: Clock
    window_ms: float
    outside_ms: float
    idle_ms: float
    rows: tuple[Row, ...]
    after_window_ms: float | None = None


def ceiling(share: float, achieved: float = 0.0) -> float:
    """Amdahl's law: speedup of the whole if a part with this share of the time ran at its roofline.

    Args:
        achieved: what share of its roofline it reaches now; 0 where that is not known, which is the bound that always
            holds: the part then takes no time.
    """
    return 1.0 / max(1e-9, 1.0 - share * (1.0 - achieved))


def breakdown(
    before: Usage,
    after: Usage | None,
    tasks: Mapping[str, Task],
    places: Mapping[str, tuple[str, ...]],
    achieved: Mapping[str, float] = NOTHING,
) -> Breakdown:
    """One row for every task of ``places`` that either profile saw.

    Args:
        achieved: share of its roofline that the engine's own code reaches, of the tasks of which it is known.

    Raises:
        ValueError: the profiles were taken by different clocks.
    """
    if after is not None and after.clock != before.clock:
        raise ValueError(f"time before the patch was taken on the {before.clock}, after it on the {after.clock}")
    seen = before.tasks | (after.tasks if after is not None else set())
    names = [name for name in places if name in seen]
    rows = [replace(_row(tasks[name], places[name], before, after), achieved=achieved.get(name)) for name in names]
    return Breakdown(
        clock=before.clock,
        window_ms=_ms(before.window_us),
        outside_ms=_ms(before.own_us(OUTSIDE)),
        idle_ms=_ms(max(0.0, before.window_us - before.busy_us)),
        rows=tuple(sorted(rows, key=lambda row: (-row.at_most, row.task))),
        after_window_ms=None if after is None else _ms(after.window_us),
    )


def _row(task: Task, places: tuple[str, ...], before: Usage, after: Usage | None) -> Row:
    total_us = before.total_us(task.name)
    return Row(
        task=task.name,
        level=task.level,
        places=places,
        calls=before.calls[task.name],
        own_ms=_ms(before.own_us(task.name)),
        total_ms=_ms(total_us),
        share=total_us / before.window_us,
        parts=_parts(task.name, before, after),
        after_own_ms=None if after is None else _ms(after.own_us(task.name)),
        after_total_ms=None if after is None else _ms(after.total_us(task.name)),
    )


def _parts(task: str, before: Usage, after: Usage | None) -> tuple[Part, ...]:
    names = dict.fromkeys(
        name for usage in (before, after) if usage is not None for of_task, name in usage.own if of_task == task
    )
    parts = [_part(task, name, before, after) for name in names]
    return tuple(sorted(parts, key=lambda part: -max(part.ms, part.after_ms or 0.0))[:LARGEST])


def _part(task: str, name: str, before: Usage, after: Usage | None) -> Part:
    first, second = before.own.get((task, name)), after.own.get((task, name)) if after is not None else None
    after_ms = None if after is None else _ms(second.us if second else 0.0)
    return Part(name, first.calls if first else 0, _ms(first.us if first else 0.0), after_ms)


def _ms(us: float) -> float:
    return us / 1000


def places_of(watches: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Every task's places, from (task, places) of each of its targets."""
    found: dict[str, tuple[str, ...]] = {}
    for task, places in watches:
        found[task] = (*found.get(task, ()), *places)
    return found
