"""The guards by name: what each stands for, and what a case becomes that one of them rejects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal[
    "passed",
    "incorrect",
    "not_engaged",
    "invalid",
    "uncalibrated",
    "unsupported",
    "crashed",
    "hung",
    "out_of_memory",
    "skipped",
]
"""What became of a case. Only one that ``passed`` has a merit."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One way of noticing that a result or a time may not be believed.

    Attributes:
        name: as verdicts print it.
        rejects: what a case becomes that it rejects.
    """

    name: str
    meaning: str
    rejects: State


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a guard found. ``guard`` is one of :data:`GUARDS`; ``reason`` is one sentence with figures."""

    guard: str
    reason: str

    @property
    def state(self) -> State:
        return GUARDS[self.guard].rejects


_TABLE = (
    Guard("g.device_sync", "no work is left on the device when the result is there", "invalid"),
    Guard("g.integrity", "guarded functions, flags, threads, children and sockets are as they were", "invalid"),
    Guard("g.engage", "the candidate ran, and did not call what it replaces", "not_engaged"),
    Guard(
        "g.contract",
        "results have the type, shape, dtype, device, layout and memory that the task promises",
        "incorrect",
    ),
    Guard(
        "g.immutable", "arguments and weights are as they were, but for those that the task lets change", "incorrect"
    ),
    Guard("g.poison", "no element is left of what the memory held before the call", "incorrect"),
    Guard("g.fresh", "a result belongs to this call's inputs, not to those of an earlier call", "incorrect"),
    Guard("g.recheck", "timed results agree with the float64 oracle, element by element", "incorrect"),
    Guard("g.variation", "the same holds for other sizes than the captured one", "incorrect"),
    Guard("g.envelope", "the error is not much larger than the baseline's own", "incorrect"),
    Guard("g.outproc", "messages, counts and the clock belong to another process, and its clock agrees", "invalid"),
    Guard("g.floor", "no time is below what the machine's memory and arithmetic allow", "invalid"),
    Guard("g.clean", "the pack is the one that was frozen, and each arm has caches of its own", "invalid"),
)
GUARDS: Mapping[str, Guard] = {guard.name: guard for guard in _TABLE}
"""In the order in which a verdict names them when several reject. A saving that no other clock sees comes after what it
may be made of: work that is left behind, a changed function, a result that is wrong because nothing was waited for."""


def first(rejections: list[Rejection]) -> Rejection | None:
    """The one that decides, None if there is none."""
    order = list(GUARDS)
    return min(rejections, key=lambda each: order.index(each.guard), default=None)
