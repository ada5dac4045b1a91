"""Whether every rank proves that it runs the patch: before load is sent, and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fk_overlay.errors import NotEngaged
from fk_overlay.overlay.receipts import processes
from fk_overlay.plan import Plan
from fk_overlay.tuned import unanswered

Counts = Mapping[tuple[int, str], int]
"""(pid, place) -> calls that ran in Python so far."""


def gate(plan: Plan, folder: Path, ranks: int) -> dict[str, Any]:
    """Check that every rank has loaded the overlay and has every task of the plan in place.

    Returns the resolved configuration as rank 0 reported it.

    Raises:
        NotEngaged: a rank is missing, reported an error, lacks a task, or wants other kernel configurations than the
            pack has.
    """
    said = {process["rank"]: process for process in processes(folder) if process["rank"] is not None}
    for rank in range(ranks):
        if rank not in said:
            raise NotEngaged(
                f"rank {rank} of {ranks} has not reported; is the plugin fk_overlay loaded in every process?"
            )
        _check(said[rank], plan)
    config: dict[str, Any] = said[0]["config"]
    return config


def _check(process: Mapping[str, Any], plan: Plan) -> None:
    rank = process["rank"]
    if process["errors"]:
        raise NotEngaged(f"rank {rank} reported: {'; '.join(process['errors'])}")
    if not process["loaded"]:
        raise NotEngaged(f"rank {rank} has not seen a model being loaded; the overlay came too late or not at all")
    placed = {place["task"] for place in process["places"]}
    if missing := sorted({swap.task for swap in plan.swaps} - placed):
        raise NotEngaged(
            f"rank {rank} never imported the targets of: {', '.join(missing)}; this model does not use them"
        )
    for place in process["places"]:
        # An engine on a GPU runs the model once before it is ready; one that asked for nothing yet may do so later.
        if place.get("lookups") and (why := unanswered(place["files"], place["lookups"])):
            raise NotEngaged(f"rank {rank}: the configurations for {place['task']} are of no use here: {why}")


def eager_calls(folder: Path) -> Counts:
    """Calls so far that ran in Python, by process and place."""
    return {
        (process["pid"], place["target"]): place["calls_eager"]
        for process in processes(folder)
        for place in process["places"]
    }


def needs_witness(receipts: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a rank has a task whose calls Python did not see during the passes: they were compiled, captured into a
    CUDA graph, or loaded from the arm's own compile cache, and only counting on the device can show that they ran.
    Calls that Python saw being refused are no riddle, and a lookup of a kernel configuration is always in Python."""
    seen: dict[tuple[int, str], int] = {}
    for receipt in receipts:
        if receipt.get("task") and receipt["loaded"] and receipt.get("seam") != "tuning":
            key = receipt["pid"], receipt["task"]
            seen[key] = seen.get(key, 0) + receipt["calls_in_passes"] + receipt["fallbacks"]
    return any(calls == 0 for calls in seen.values())
