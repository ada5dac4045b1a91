"""Did the patch run? Asked of every rank of every launch, for every task.

A task ran if Python saw a call at one of its targets during the passes. Where calls are compiled, captured into CUDA
graphs or loaded from the arm's own compile cache, Python sees none, and the arm's witness launch must show that the
device executed the patch on that rank. A task may have targets that this model does not use; one that ran is enough.
A kernel configuration is looked up in Python whenever a kernel is launched or captured: a rank whose lookup the pack
answered runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fk_overlay.scoring.evidence import Evidence, Record, of_arm
from fk_overlay.tuned import unanswered

CALLS = ("calls_eager", "calls_traced", "calls_captured")


@dataclass(frozen=True, slots=True)
class Engagement:
    """One target in one rank of one launch.

    Attributes:
        calls: calls of the patch that Python saw: eager, traced by a compiler, or captured into a CUDA graph.
        fallbacks: calls that the patch left to the engine's own code.
        replays: executions counted on the device, witness launches only.
        refusals: why the patch left calls, where it says so.
    """

    launch: str
    rank: int | None
    task: str
    target: str
    calls: int
    fallbacks: int
    replays: int | None
    refusals: tuple[str, ...] = ()

    @property
    def fallback_share(self) -> float:
        return self.fallbacks / (self.calls + self.fallbacks) if self.fallbacks else 0.0


def not_engaged(evidence: Evidence, arm: Record) -> list[str]:
    """A sentence for every rank and task of the arm's finished launches that has not proved that it ran the patch."""
    found = []
    executed = _executed_on_device(evidence, arm["name"])
    for launch in evidence.launches_of(arm["name"]):
        if launch["state"] == "not_engaged":
            found.append(f"launch {launch['launch']}: {launch.get('reason') or 'the engine did not run the patch'}")
        elif launch["state"] == "ok":
            receipts = [receipt for receipt in evidence.receipts if receipt["launch"] == launch["launch"]]
            found += _gaps(launch, receipts, _tasks(arm), executed)
    return found


def engagements(evidence: Evidence, arm: str) -> list[Engagement]:
    """Every target in every rank of the arm's launches, in the order of the launches."""
    found: dict[tuple[str, int | None, str, str], list[Record]] = {}
    for receipt in _ranks(of_arm(evidence.receipts, arm)):
        if receipt["task"] is not None:
            key = receipt["launch"], receipt["rank"], receipt["task"], _place(receipt)
            found.setdefault(key, []).append(receipt)
    return [Engagement(*key, *_counts(members), _refusals(members)) for key, members in found.items()]


def fallback_share(counts: Iterable[Engagement]) -> float:
    """Share of all calls that the patch left to the engine's own code."""
    counts = list(counts)
    fallbacks = sum(count.fallbacks for count in counts)
    return fallbacks / (fallbacks + sum(count.calls for count in counts)) if fallbacks else 0.0


def _gaps(
    launch: Record, receipts: Sequence[Record], tasks: set[str], executed: set[tuple[int | None, str]]
) -> Iterator[str]:
    name = launch["launch"]
    ranks = _ranks(receipts)
    if not ranks:
        yield f"launch {name}: no process with the model in it left a receipt"
        return
    if missing := _missing_ranks(ranks):
        yield f"launch {name}: no receipt of rank {', '.join(map(str, missing))}"
    witness = launch.get("purpose") == "witness"
    for rank in sorted({receipt["rank"] for receipt in ranks}, key=lambda rank: -1 if rank is None else rank):
        rows = [receipt for receipt in ranks if receipt["rank"] == rank and receipt["task"] is not None]
        for task in sorted(tasks - {row["task"] for row in rows}):
            yield f"launch {name}, rank {rank}: the patch for {task} was never put in place"
        for task in dict.fromkeys(row["task"] for row in rows):
            mine = [row for row in rows if row["task"] == task]
            if all(row.get("seam") == "tuning" for row in mine):
                yield from _unanswered(name, rank, task, mine)
                continue
            if witness and (rank, task) not in executed:
                yield f"launch {name}, rank {rank}: the device never executed the patch for {task}"
            elif not witness and not _seen(mine) and (_refused(mine) or (rank, task) not in executed):
                yield f"launch {name}, rank {rank}: {_silence(task, mine)}"


def _unanswered(launch: str, rank: int | None, task: str, rows: Sequence[Record]) -> Iterator[str]:
    reasons = [unanswered(row["files"], row["lookups"]) for row in rows]
    if all(reasons):
        yield f"launch {launch}, rank {rank}: no configuration for {task} was used: {'; '.join(map(str, reasons))}"


def _silence(task: str, rows: Sequence[Record]) -> str:
    calls, fallbacks, _ = _counts(rows)
    if fallbacks and not calls:
        reasons = _refusals(rows)
        why = f": {'; '.join(reasons)}" if reasons else ""
        return f"the patch for {task} never ran (all {fallbacks} calls went to the engine's own code{why})"
    if calls:
        return f"the patch for {task} was compiled or ran before the load, and nothing shows that it ran under it"
    return f"the patch for {task} never ran"


def _refused(rows: Iterable[Record]) -> bool:
    """Whether every call that Python saw went to the engine's own code; a witness of another launch cannot excuse
    it."""
    calls, fallbacks, _ = _counts(rows)
    return fallbacks > 0 and calls == 0


def _seen(rows: Iterable[Record]) -> bool:
    """Whether Python saw a call while the load ran."""
    return any(row.get("calls_in_passes", 0) > 0 for row in rows)


def _executed_on_device(evidence: Evidence, arm: str) -> set[tuple[int | None, str]]:
    """(rank, task) that the device counted in the arm's witness launches."""
    witnesses = {launch["launch"] for launch in evidence.launches_of(arm) if launch.get("purpose") == "witness"}
    return {
        (receipt["rank"], receipt["task"])
        for receipt in evidence.receipts
        if receipt["launch"] in witnesses and receipt["task"] is not None and (receipt.get("replays") or 0) > 0
    }


def _ranks(receipts: Iterable[Record]) -> list[Record]:
    """Receipts of the processes that hold the model; front ends load the overlay too, and run nothing."""
    return [receipt for receipt in receipts if receipt["rank"] is not None or receipt["loaded"]]


def _missing_ranks(receipts: Sequence[Record]) -> list[int]:
    world = max(receipt["world_size"] or 1 for receipt in receipts)
    there = {receipt["rank"] or 0 for receipt in receipts}
    return sorted(set(range(world)) - there)


def _place(receipt: Record) -> str:
    """The class for the method seam: an engine calls one of the members that are swapped, not all of them."""
    target = str(receipt["target"])
    return target.rpartition(".")[0] if receipt.get("seam") == "method" else target


def _counts(members: Iterable[Record]) -> tuple[int, int, int | None]:
    members = list(members)
    replays = [receipt["replays"] for receipt in members if receipt.get("replays") is not None]
    calls = sum(receipt[count] for receipt in members for count in CALLS)
    return calls, sum(receipt["fallbacks"] for receipt in members), sum(replays) if replays else None


def _refusals(rows: Iterable[Record]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for row in rows for reason in row.get("refusals", ())))


def _tasks(arm: Record) -> set[str]:
    return {patch["task"] for pack in arm.get("packs", ()) for patch in pack.get("patches", ())}
