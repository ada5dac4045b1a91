"""How a case is measured: every count is fixed before the first call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fk_overlay.bench.calling import Mode


@dataclass(frozen=True, slots=True)
class Design:
    """Counts and limits of one case.

    Attributes:
        warm_up: calls of each arm, before every series of rounds in fresh processes, that are checked and not timed.
        iterations: timed calls of each arm in a round; rounds: the unit of replication.
        hot: calls of each arm with a hot cache in each pair of processes, on a GPU; told, not judged.
        processes: pairs of fresh processes that the rounds are spread over.
        minimum_effect: d, the smallest effect that counts, as a share.
        start_s, call_s: how long opening an arm and one call may take before it counts as hung. A first call may
            compile, and has as long as opening.
        recheck_s: seconds that holding results against the oracle may take for a case, about; a random share is held
            against it if all would take longer, never less than ``recheck_least`` of them.
        memory_bytes: what a CPU process may take beyond what it had when the candidate came.
        suspicious: a speedup from which a reason is asked for.
    """

    mode: Mode = "eager"
    warm_up: int = 10
    iterations: int = 20
    rounds: int = 10
    hot: int = 10
    processes: int = 2
    minimum_effect: float = 0.01
    start_s: float = 180.0
    call_s: float = 20.0
    recheck_s: float = 1.0
    recheck_least: float = 0.1
    memory_bytes: int = 16 << 30
    suspicious: float = 10.0
