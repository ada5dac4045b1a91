"""What became of one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        device, dtype: where and in what it ran.
        facts: what else was noted: seconds of one call of the oracle, of one of each arm with a hot cache on a GPU, of
            opening the arms and of all checks; peak memory of the arms, and weights that the engine holds in another
            form than the captured one.
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
    dtype: str = ""
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


EXIT_CODES: Mapping[str, int] = {
    "improved": 0,
    "neutral": 0,
    "skipped": 0,
    "unsupported": 0,
    "regressed": 1,
    "not_engaged": 3,
    "invalid": 3,
    "uncalibrated": 3,
    "crashed": 3,
    "hung": 3,
    "out_of_memory": 3,
    "unresolved": 4,
    "incorrect": 5,
}
"""What the command ends with, as :data:`fk_overlay.core.EXIT_CODES`; the highest of all cases counts."""
FIT = 0.95
"""Share of the cases in which a fit host sees no difference between the baseline and itself."""


def exit_code(verdicts: Sequence[CaseVerdict]) -> int:
    """3 if no case was judged at all."""
    if not any(verdict.state not in ("skipped", "unsupported") for verdict in verdicts):
        return 3
    return max(EXIT_CODES[verdict.said] for verdict in verdicts)


def fit(verdicts: Sequence[CaseVerdict]) -> bool:
    """Whether a bench of the baseline against itself says that this host can judge: all cases that could be judged
    passed, and hardly any was called faster or slower."""
    judged = [verdict for verdict in verdicts if verdict.state != "skipped"]
    alike = [verdict for verdict in judged if verdict.merit in ("neutral", "unresolved")]
    return bool(judged) and len(alike) >= FIT * len(judged)
