"""What became of one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fk_overlay.core import Cost, Merit
from fk_overlay.integrity.guards import State


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """A case, judged.

    Attributes:
        case: id of the captured case; target: the place that was called.
        state: see :data:`fk_overlay.integrity.guards.State`; ``guard``: the one that rejected it, empty if none did.
        reasons: one sentence each, the deciding one first.
        merit: of a case that passed; None otherwise.
        ratio, low, high: baseline time over candidate time, more than 1 is faster, with its 95 % t interval over
            rounds; None if it was not measured.
        baseline_s, candidate_s: medians over rounds of the rounds' median times, in seconds, by ``clock``.
        calls: how often each arm was called; ``undecided``: calls that the baseline got wrong itself.
        captured_s: seconds that the scenario spent in this case; ``captured_share``: of all that the capture timed.
        device, gpu: where it ran.
    """

    task: str
    case: str
    target: str
    state: State
    guard: str = ""
    reasons: tuple[str, ...] = ()
    merit: Merit | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    baseline_s: float | None = None
    candidate_s: float | None = None
    calls: int = 0
    undecided: int = 0
    mode: str = "eager"
    clock: str = ""
    device: str = ""
    cost: Cost | None = None
    captured_s: float = 0.0
    captured_share: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """State, or merit where there is one."""
        return self.merit or self.state

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def revived(cls, data: Mapping[str, Any]) -> CaseVerdict:
        held = {name: data[name] for name in cls.__slots__ if name in data}
        cost = Cost(**held["cost"]) if held.get("cost") else None
        return cls(**{**held, "reasons": tuple(held.get("reasons", ())), "cost": cost})
