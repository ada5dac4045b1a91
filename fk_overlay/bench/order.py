"""What one arm is told at its start, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fk_overlay.bench.calling import Mode

ORIGINALS, RECEIPTS, PLAN = "originals.counters", "receipts", "plan.json"
"""Names in an arm's folder: entries of the original, one row a place; the overlay's receipts; the plan."""


@dataclass(frozen=True, slots=True)
class Order:
    """One arm's orders.

    Attributes:
        host, workbench: ``module:NAME`` of what speaks for the engine.
        plan: the plan file that puts the candidate in its place; of the baseline, one without swaps.
        task: folder of the task. capture, case, snapshot: which captured call.
        folder: the arm's own. outbox: file that results are put into.
        device: where the case runs, such as ``cpu`` or ``cuda:0``. dtype: the captured model's.
        first_seed: inputs of graphs' buffers while they are captured.
        memory_bytes: what the process may take beyond what it has when the candidate comes, on a CPU; 0 for no limit.
    """

    host: str
    workbench: str
    plan: str
    task: str
    capture: str
    case: str
    snapshot: int
    folder: str
    outbox: str
    device: str
    dtype: str
    mode: Mode
    first_seed: int
    memory_bytes: int

    def said(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def heard(cls, data: Mapping[str, Any]) -> Order:
        return cls(**{name: data[name] for name in cls.__slots__})
