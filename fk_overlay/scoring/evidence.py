"""The records of a run, sorted by kind once. Every judgement starts from these and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fk_overlay.core import BASELINE, Mode
from fk_overlay.errors import RecordError

Record = Mapping[str, Any]

IDENTITY: Mapping[str, tuple[str, ...]] = {
    "launch": ("launch",),
    "sample": ("launch", "pass", "workload", "metric"),
    "request": ("launch", "pass", "workload", "request"),
    "forced": ("launch", "variant", "request"),
}
"""What tells two records of a kind apart. A launch that was interrupted and made again has some twice: the last
counts."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was recorded (see :mod:`fk_overlay.lineage.record`), oldest first in each kind.

    A launch counts once it is over and ``ok``; what an unfinished or failed launch left behind is not evidence of
    speed.
    """

    run: Record
    launches: tuple[Record, ...] = ()
    receipts: tuple[Record, ...] = ()
    samples: tuple[Record, ...] = ()
    requests: tuple[Record, ...] = ()
    forced: tuple[Record, ...] = ()
    verdicts: tuple[Record, ...] = ()
    notes: tuple[Record, ...] = ()

    @classmethod
    def of(cls, records: Iterable[Record]) -> Evidence:
        """Raises :class:`fk_overlay.errors.RecordError` if no record says which run this is."""
        kinds: dict[str, dict[object, Record]] = {}
        for number, record in enumerate(standing(records)):
            kind = record["kind"]
            key = tuple(record.get(name) for name in IDENTITY[kind]) if kind in IDENTITY else number
            kinds.setdefault(kind, {})[key] = record
        if "run" not in kinds:
            raise RecordError("the record has no line of kind 'run'; give the folder that `fk-overlay run` printed")
        fields = {"launches": "launch", "receipts": "receipt", "samples": "sample", "requests": "request"}
        fields |= {"forced": "forced", "verdicts": "verdict", "notes": "note"}
        sorted_ = {name: tuple(kinds.get(kind, {}).values()) for name, kind in fields.items()}
        return cls(run=next(iter(kinds["run"].values())), **sorted_)

    @property
    def mode(self) -> Mode:
        return cast(Mode, self.run.get("mode", "decide"))

    @property
    def candidates(self) -> tuple[Record, ...]:
        """The arms to judge, as recorded: every arm but the baseline."""
        return tuple(arm for arm in self.run["arms"] if arm["name"] != BASELINE)

    def launches_of(self, arm: str, *, ok: bool = False, purpose: str | None = None) -> tuple[Record, ...]:
        return tuple(
            launch
            for launch in self.launches
            if launch["arm"] == arm
            and (launch["state"] == "ok" or not ok)
            and purpose in (None, launch.get("purpose", "timed"))
        )

    def timed(self, records: Iterable[Record]) -> list[Record]:
        """Those of ``records`` that belong to launches which were timed and ended well."""
        return self._of_launches(records, {"timed"})

    def sound(self, records: Iterable[Record]) -> list[Record]:
        """Those of ``records`` that belong to launches which ended well, whatever their purpose."""
        return self._of_launches(records, {"timed", "witness"})

    def _of_launches(self, records: Iterable[Record], purposes: set[str]) -> list[Record]:
        good = {
            launch["launch"]
            for launch in self.launches
            if launch["state"] == "ok" and launch.get("purpose", "timed") in purposes
        }
        return [record for record in records if record["launch"] in good]


def standing(records: Iterable[Record]) -> list[Record]:
    """Without the records of launches that a later note sets aside, such as those of a pair that was begun on another
    machine."""
    found: list[Record] = []
    for record in records:
        if aside := record.get("sets_aside"):
            found = [earlier for earlier in found if earlier.get("launch") not in aside]
        found.append(record)
    return found


def of_arm(records: Iterable[Record], arm: str) -> list[Record]:
    return [record for record in records if record["arm"] == arm]
