"""What an earlier part of a run left, and what of it still counts when the run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fk_overlay.errors import RecordError
from fk_overlay.lineage.record import FILE, read
from fk_overlay.scoring.evidence import standing
from fk_overlay.serving.machine import other_kind

Record = Mapping[str, Any]

IDENTITY = ("engine", "engine_version", "mode", "design", "scenario", "arms", "tasks")
"""Keys of the run record that make two runs the same run."""


@dataclass(frozen=True, slots=True)
class Past:
    """The records of launches that are over, and the name of this machine if the last were made on another one."""

    records: tuple[Record, ...] = ()
    moved_to: str | None = None

    def unfinished(self, arms: Sequence[str]) -> list[str]:
        """Timed launches of a restart that does not have one of every arm yet. Arms that failed in an earlier restart
        are not launched again, so their absence leaves nothing unfinished."""
        return [
            launch["launch"]
            for restart, launches in self._restarts().items()
            if set(arms) - self._failed_before(restart) - {launch["arm"] for launch in launches}
            for launch in launches
        ]

    def without(self, launches: Sequence[str]) -> Past:
        gone = set(launches)
        return Past(tuple(record for record in self.records if record.get("launch") not in gone), self.moved_to)

    def _restarts(self) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = {}
        for record in self.records:
            if record["kind"] == "launch" and record["purpose"] == "timed":
                found.setdefault(record["restart"], []).append(record)
        return found

    def _failed_before(self, restart: int) -> set[str]:
        earlier = [launch for number, launches in self._restarts().items() if number < restart for launch in launches]
        return {launch["arm"] for launch in earlier if launch["state"] != "ok"}


def past(folder: Path, header: Record) -> Past:
    """What ``folder`` holds of the run that ``header`` describes; nothing if it was not begun.

    Raises:
        RecordError: another run is in the folder, or it was begun on another kind of machine.
    """
    if not (folder / FILE).is_file():
        return Past()
    records = list(read(folder))
    if not records:  # stopped before its first line was whole
        return Past()
    began = records[0]
    if different := [key for key in IDENTITY if began.get(key) != header[key]]:
        raise RecordError(f"{folder} holds another run ({', '.join(different)} differ); give another --out")
    if different := other_kind(began["environment"], header["environment"]):
        raise RecordError(
            f"{folder} was begun on another kind of machine, then / now: {', '.join(different)}; "
            "go on where it was begun, or give another --out"
        )
    hosts, here = [began["environment"].get("host"), *_moves(records)], header["environment"]["host"]
    return Past(tuple(_closed(standing(records))), moved_to=here if hosts[-1] != here else None)


def _moves(records: Sequence[Record]) -> Iterator[str]:
    return (record["host"] for record in records if record["kind"] == "note" and "host" in record)


def _closed(records: Sequence[Record]) -> Iterator[Record]:
    """Without what an unfinished launch left."""
    over = {record["launch"] for record in records if record["kind"] == "launch"}
    return (record for record in records if record.get("launch") is None or record["launch"] in over)
