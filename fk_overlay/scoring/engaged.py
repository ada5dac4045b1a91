"""Did the patch run? Receipts are counted per launch, rank and target; a target of the method seam is its class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fk_overlay.scoring.evidence import Evidence, Record, of_arm

CALLS = ("calls_eager", "calls_traced", "calls_captured")


@dataclass(frozen=True, slots=True)
class Engagement:
    """One target in one rank of one launch.

    Attributes:
        calls: calls of the patch that Python saw: eager, traced by a compiler, or captured into a CUDA graph.
        fallbacks: calls that the patch left to the engine's own code.
        replays: executions counted on the device, witness launches only.
    """

    launch: str
    rank: int | None
    task: str
    target: str
    calls: int
    fallbacks: int
    replays: int | None

    @property
    def fallback_share(self) -> float:
        return self.fallbacks / (self.calls + self.fallbacks) if self.fallbacks else 0.0


def not_engaged(evidence: Evidence, arm: Record) -> list[str]:
    """A sentence for every rank and target of the arm's finished launches that has not proved that it ran the patch."""
    found = []
    for launch in evidence.launches_of(arm["name"]):
        if launch["state"] == "not_engaged":
            found.append(f"launch {launch['launch']}: {launch.get('reason') or 'the engine did not run the patch'}")
        elif launch["state"] == "ok":
            receipts = [receipt for receipt in evidence.receipts if receipt["launch"] == launch["launch"]]
            found += _gaps(launch, receipts, _tasks(arm))
    return found


def engagements(evidence: Evidence, arm: str) -> list[Engagement]:
    """Every target in every rank of the arm's launches, in the order of the launches."""
    found: dict[tuple[str, int | None, str, str], list[Record]] = {}
    for receipt in _ranks(of_arm(evidence.receipts, arm)):
        if receipt["task"] is not None:
            key = receipt["launch"], receipt["rank"], receipt["task"], _place(receipt)
            found.setdefault(key, []).append(receipt)
    return [Engagement(*key, *_counts(members)) for key, members in found.items()]


def fallback_share(counts: Iterable[Engagement]) -> float:
    """Share of all calls that the patch left to the engine's own code."""
    counts = list(counts)
    fallbacks = sum(count.fallbacks for count in counts)
    return fallbacks / (fallbacks + sum(count.calls for count in counts)) if fallbacks else 0.0


def _gaps(launch: Record, receipts: Sequence[Record], tasks: set[str]) -> Iterator[str]:
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
        for task, place in dict.fromkeys((row["task"], _place(row)) for row in rows):
            calls, fallbacks, replays = _counts([row for row in rows if (row["task"], _place(row)) == (task, place)])
            if not calls:
                yield f"launch {name}, rank {rank}: the patch for {task} never ran at {place}" + _left(fallbacks)
            elif witness and not replays:
                yield f"launch {name}, rank {rank}: the device never executed the patch for {task} at {place}"


def _left(fallbacks: int) -> str:
    return f" (all {fallbacks} calls went to the engine's own code)" if fallbacks else ""


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


def _tasks(arm: Record) -> set[str]:
    return {patch["task"] for pack in arm.get("packs", ()) for patch in pack.get("patches", ())}
