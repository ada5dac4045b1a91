"""Gives the time of operators and kernels to tasks. Pure functions on what a profiler saw.

An operator belongs to the innermost task range around it (*own* time), and every range around it contains it (*total*
time: what a patch for that task would replace). Where a GPU ran kernels, their time counts; else the operators' own
time on the CPU, with what Python spends inside a range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

PREFIX = "fk_overlay::"
"""Of the name of a range; the task follows."""
OUTSIDE = ""
"""The task of what is in no range."""
PYTHON = "(Python inside the range)"
Clock = Literal["cpu", "device"]


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
        own: by task and name of operator or kernel. ``total``: by task, with the number of its ranges.
    """

    clock: Clock
    window_us: float
    own: dict[tuple[str, str], Spent] = field(default_factory=lambda: defaultdict(Spent))
    total: dict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))

    @property
    def busy_us(self) -> float:
        return sum(spent.us for spent in self.own.values())


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
                usage.total[chain[-1]].calls += 1
            for name, us in _parts(event, clock):
                _spend(usage, chain, name, us)
    return usage


def by_name(kernels: Iterable[tuple[str, float]], learned: Usage, window_us: float) -> Usage:
    """The same where no range can be seen, as inside CUDA graphs: kernels by name and duration in microseconds, given
    to the tasks in the shares in which ``learned``, of a run with ranges, has them under that name. Kernels of which it
    knows nothing are outside every task. Calls and what lies inside of which task are not seen: total is own time."""
    usage = Usage("device", window_us)
    shares = _shares(learned)
    for name, us in kernels:
        for task, share in shares.get(name, {OUTSIDE: 1.0}).items():
            usage.own[task, name].add(us * share)
            if task != OUTSIDE:
                usage.total[task].us += us * share
    return usage


def merged(usages: Sequence[Usage]) -> Usage:
    """Of all ranks together. Raises ValueError if there are none, or their clocks differ."""
    clocks = {usage.clock for usage in usages}
    if len(clocks) != 1:
        raise ValueError(f"profiles of {len(usages)} ranks with the clocks {sorted(clocks)} are no one profile")
    whole = Usage(clocks.pop(), sum(usage.window_us for usage in usages))
    for usage in usages:
        for key, spent in usage.own.items():
            whole.own[key].add(spent.us, spent.calls)
        for task, spent in usage.total.items():
            whole.total[task].add(spent.us, spent.calls)
    return whole


def _parts(event: Event, clock: Clock) -> Iterable[tuple[str, float]]:
    if clock == "device":
        return event.kernels
    return [(PYTHON if event.name.startswith(PREFIX) else event.name, event.own_us)]


def _spend(usage: Usage, chain: Sequence[str], name: str, us: float) -> None:
    usage.own[chain[-1] if chain else OUTSIDE, name].add(us)
    for task in set(chain):
        usage.total[task].us += us


def _shares(learned: Usage) -> Mapping[str, Mapping[str, float]]:
    """Name of a kernel -> task -> share of the kernel's time."""
    spent: dict[str, dict[str, float]] = defaultdict(dict)
    for (task, name), each in learned.own.items():
        spent[name][task] = each.us
    sums = {name: sum(tasks.values()) for name, tasks in spent.items()}
    return {name: {task: us / sums[name] for task, us in tasks.items()} for name, tasks in spent.items() if sums[name]}


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
