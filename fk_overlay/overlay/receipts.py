"""A process's proof that it ran the patch.

Each process writes ``<pid>.json`` (who it is, what it put where, what went wrong) and ``<pid>.counters`` (how often it
ran, see :mod:`fk_overlay.overlay.counters`). :func:`collect` joins both into one flat record per process and place:

pid, role, rank, world_size, engine, version, loaded, errors; once a model is loaded, strangers (engine symbols that are
not the engine's own, see :mod:`fk_overlay.overlay.strangers`) and last_look (``offered`` or ``taken``); and per place
task, target, seam, pack, pack_digest, baseline_body, aliases, instances, prepared, calls_eager, calls_traced,
calls_captured, fallbacks, replays, and where the patch said why it left calls to the engine, refusals. A place of the
tuning seam has ``files``, what the pack brings, and ``lookups``: file that the engine wanted -> whether the pack
answered. A process without swaps gives one record with ``task`` None.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fk_overlay.overlay.counters import Counters, Slot, read

REASONS = 8
"""So many different ones are kept of each place: a patch may name numbers in them."""


class Receipt:
    """The receipt of this process. With no folder nothing is written and nothing counted."""

    def __init__(self, folder: Path | None, *, role: str, engine: str, version: str, places: int) -> None:
        self._folder = folder
        self._data: dict[str, Any] = {"engine": engine, "version": version, "places": []}
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self.counters = Counters(folder / f"{os.getpid()}.counters", places) if folder else None
        self._begin(role)

    def forked(self) -> None:
        """Begin a receipt of its own in a forked process, which has its parent's swaps but is not its parent's rank."""
        if self._folder is not None and self.counters is not None:
            self.counters.move(self._folder / f"{os.getpid()}.counters")
        for place in self._data["places"]:
            place.get("lookups", {}).clear()
            place.pop("refusals", None)
        self._begin(self._data["role"])

    def _begin(self, role: str) -> None:
        self._lock = threading.Lock()  # new in a forked process: a thread of the parent may have held the old one
        self._data = {key: self._data[key] for key in ("engine", "version", "places")}
        self._data.update(pid=os.getpid(), role=role, rank=None, world_size=None, loaded=False, errors=[], config={})
        self._write()

    def placed(self, row: int, **place: Any) -> None:
        """A swap is done: task, target, seam, pack, pack_digest, baseline_body, aliases."""
        self._data["places"].append({"row": row, **place})
        self._write()

    def looked_up(self, row: int, file: str, found: bool) -> None:
        """The engine wanted a configuration file of a tuned place. Written when new: engines ask at every step."""
        lookups = self._place(row)["lookups"]
        if lookups.get(file) is not found:
            lookups[file] = found
            self._write()

    def refused(self, row: int, reason: str) -> bool:
        """The patch says why it left a call of a place to the engine. Returns whether that is new."""
        held = self._place(row).setdefault("refusals", [])
        new = reason not in held and len(held) < REASONS
        if new:
            held.append(reason)
            self._write()
        return new

    def say(self, **facts: Any) -> None:
        """Set facts about the process, such as role, rank, world_size, loaded, config."""
        self._data.update(facts)
        self._write()

    def failed(self, error: BaseException) -> None:
        self._data["errors"].append(f"{type(error).__name__}: {error}")
        self._write()

    def _place(self, row: int) -> dict[str, Any]:
        found: dict[str, Any] = next(place for place in self._data["places"] if place["row"] == row)
        return found

    def _write(self) -> None:
        """Replace the file in one step: a reader never sees half of it."""
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}.json"
        draft = path.with_suffix(".draft")
        with self._lock:
            draft.write_text(json.dumps(self._data, default=str), encoding="utf-8")
            draft.replace(path)


def processes(folder: Path) -> list[dict[str, Any]]:
    """What each process said of itself, with its places and counts under ``places``."""
    found = []
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        rows = read(path.with_suffix(".counters"))
        said["places"] = [{**place, **_counts(rows[place["row"]])} for place in said["places"]]
        found.append(said)
    return found


def collect(folder: Path) -> Iterator[dict[str, Any]]:
    """One flat record per process and place."""
    for said in processes(folder):
        process = {key: value for key, value in said.items() if key not in ("places", "config")}
        for place in said["places"] or [{"task": None}]:
            yield {**process, **{key: value for key, value in place.items() if key != "row"}}


def _counts(row: tuple[int, ...]) -> dict[str, int]:
    return {
        "instances": row[Slot.INSTANCES],
        "prepared": row[Slot.PREPARED],
        "calls_eager": row[Slot.EAGER],
        "calls_traced": row[Slot.TRACED],
        "calls_captured": row[Slot.CAPTURED],
        "fallbacks": row[Slot.FALLBACK],
        "replays": row[Slot.REPLAYS],
    }
