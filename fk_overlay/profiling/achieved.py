"""How near the engine's own code for a task is to its roofline, from the record of a bench (``fk-overlay bench``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fk_overlay.core import Cost
from fk_overlay.errors import RecordError
from fk_overlay.integrity.roofline import reached
from fk_overlay.lineage.record import read


def achieved(folder: Path, engine: str) -> dict[str, float]:
    """By task, the share of the time that its cases could not take less than, 0 to 1: least possible time over measured
    time of the baseline, cases weighed by the time that their scenario spent in them. Without tasks whose costs, or
    machines whose peaks, are not known.

    Raises:
        RecordError: there is no bench of this engine in ``folder``.
    """
    head, *rest = read(folder)
    if head.get("kind") != "bench" or head.get("engine") != engine:
        raise RecordError(f"{folder} is no bench of {engine}; give a folder that `fk-overlay bench` made for it")
    gpu = next(iter(head["gpus"]), "")
    bound: dict[str, float] = defaultdict(float)
    spent: dict[str, float] = defaultdict(float)
    for case in rest:
        share = _share(case, gpu) if case["kind"] == "case" else None
        if share is not None:
            bound[case["task"]] += share * case["captured_s"]
            spent[case["task"]] += case["captured_s"]
    return {task: bound[task] / seconds for task, seconds in spent.items() if seconds > 0}


def _share(case: Mapping[str, Any], gpu: str) -> float | None:
    if not case["cost"] or not case["baseline_s"]:
        return None
    found = reached(Cost(**case["cost"]), case["baseline_s"], gpu, case["dtype"])
    return min(1.0, found.bound_s / case["baseline_s"]) if found.bound_s is not None else None
