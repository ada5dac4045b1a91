"""Gives the time of operators and kernels to tasks. Pure functions on what a profiler saw.

An operator belongs to the innermost task range around it (*own* time), and every range around it contains it (*total*
time: what a patch for that task would replace). Where a GPU ran kernels, their time counts; else the operators' own
time on the CPU, with what Python spends inside a range.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

PREFIX = "fk_overlay::"
"""Of the name of a range; the task follows."""
OUTSIDE = ""
"""The task of what is in no range."""
PYTHON = "(Python inside the range)"
Clock = Literal["cpu", "device"]
Key = tuple[str, str]
"""Task, name of an operator or kernel."""


@dataclass(frozen=True, slots=True)
class Event:
    """One call of an operator or one range, as a profiler saw it. Times in microseconds.

    Attributes:
        own_us: without what it called.
        parent: index of the event that called it, None at the top.
        kernels: kernels that it launched itself: name and duration on the device.
    """

    name: str
    start_us: float
    end_us: float
    own_us: float
    parent: int | None = None
    kernels: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True)
class Spent:
    calls: int = 0
    us: float = 0.0

    def add(self, us: float, calls: int = 1) -> None:
        self.calls += calls
        self.us += us


@dataclass(slots=True)
class Usage:
    """Where the time of one profile went.

    Attributes:
        window_us: from the first range's begin to the last one's end.
        own, total: time by task and name of operator or kernel.
        calls: ranges of each task that are not inside another of the same task.
    """

    clock: Clock
    window_us: float
    own: dict[Key, Spent] = field(default_factory=lambda: defaultdict(Spent))
    total: dict[Key, Spent] = field(default_factory=lambda: defaultdict(Spent))
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def busy_us(self) -> float:
        return sum(spent.us for spent in self.own.values())

    @property
    def tasks(self) -> set[str]:
        return {task for task, _ in self.total} | set(self.calls)

    def own_us(self, task: str) -> float:
        return sum(spent.us for (of_task, _), spent in self.own.items() if of_task == task)

    def total_us(self, task: str) -> float:
        return sum(spent.us for (of_task, _), spent in self.total.items() if of_task == task)


def attribute(events: Sequence[Event]) -> Usage:
    """Raises ValueError if there is no range in ``events``, in which a parent comes before what it called or after."""
    chains = _Chains(events)
    ranges = [event for event in events if event.name.startswith(PREFIX)]
    if not ranges:
        raise ValueError("no task's range was seen")
    first, last = min(event.start_us for event in ranges), max(event.end_us for event in ranges)
    clock: Clock = "device" if any(event.kernels for event in events) else "cpu"
    usage = Usage(clock, last - first)
    for number, event in enumerate(events):
        if first <= event.start_us < last:
            chain = chains(number)
            if event.name.startswith(PREFIX) and chain.count(chain[-1]) == 1:
                usage.calls[chain[-1]] += 1
            for name, us in _parts(event, clock):
                _spend(usage, chain, name, us)
    return usage


def by_name(kernels: Iterable[tuple[str, float]], learned: Usage, window_us: float) -> Usage:
    """The same where no range can be seen, as inside CUDA graphs: kernels by name and duration in microseconds, given
    to the tasks in the shares in which ``learned``, of a run with ranges, has them under that name. Kernels of which it
    knows nothing are outside every task, and calls of tasks are not seen."""
    usage = Usage("device", window_us)
    whole: dict[str, float] = defaultdict(float)
    for (_, name), spent in learned.own.items():
        whole[name] += spent.us
    own, total = _shares(learned.own, whole), _shares(learned.total, whole)
    for name, us in kernels:
        for task, share in own.get(name, {OUTSIDE: 1.0}).items():
            usage.own[task, name].add(us * share)
        for task, share in total.get(name, {}).items():
            usage.total[task, name].add(us * share)
    return usage


def merged(usages: Sequence[Usage]) -> Usage:
    """Of all ranks together. Raises ValueError if there are none, or their clocks differ."""
    clocks = {usage.clock for usage in usages}
    if len(clocks) != 1:
        raise ValueError(f"profiles of {len(usages)} ranks with the clocks {sorted(clocks)} are no one profile")
    whole = Usage(clocks.pop(), sum(usage.window_us for usage in usages))
    for usage in usages:
        whole.calls.update(usage.calls)
        for sums, parts in ((whole.own, usage.own), (whole.total, usage.total)):
            for key, spent in parts.items():
                sums[key].add(spent.us, spent.calls)
    return whole


def _parts(event: Event, clock: Clock) -> Iterable[tuple[str, float]]:
    if clock == "device":
        return event.kernels
    return [(PYTHON if event.name.startswith(PREFIX) else event.name, event.own_us)]


def _spend(usage: Usage, chain: Sequence[str], name: str, us: float) -> None:
    usage.own[chain[-1] if chain else OUTSIDE, name].add(us)
    for task in set(chain):
        usage.total[task, name].add(us)


def _shares(spent: Mapping[Key, Spent], whole: Mapping[str, float]) -> Mapping[str, Mapping[str, float]]:
    """Name of a kernel -> task -> share of ``whole``, all of the kernel's time."""
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    for (task, name), each in spent.items():
        if whole[name] > 0:
            shares[name][task] = each.us / whole[name]
    return shares


class _Chains:
    """The tasks of the ranges around an event, itself included, from the outermost to the innermost."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._known: dict[int, tuple[str, ...]] = {}

    def __call__(self, number: int) -> tuple[str, ...]:
        way: list[int] = []
        at: int | None = number
        while at is not None and at not in self._known:
            way.append(at)
            at = self._events[at].parent
        chain = self._known[at] if at is not None else ()
        for each in reversed(way):
            name = self._events[each].name
            chain = (*chain, name.removeprefix(PREFIX)) if name.startswith(PREFIX) else chain
            self._known[each] = chain
        return chain
