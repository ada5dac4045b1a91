"""Records calls inside an engine process. Outside of recording a call costs one comparison.

The engine runs eager: under torch.compile and CUDA graphs Python sees the calls of a traced method once, at trace time.
"""

from __future__ import annotations

import functools
import json
import threading
import time
import traceback
from typing import Any

from fk_overlay.capture import keeping
from fk_overlay.capture.describe import Call
from fk_overlay.capture.entries import Entry
from fk_overlay.capture.keeping import Reservoir, Room
from fk_overlay.capture.looking import Function, Look, Surroundings, Watched
from fk_overlay.capture.recipes import Recipes
from fk_overlay.capture.signal import Signal, State
from fk_overlay.capture.signature import Snapshot, plain
from fk_overlay.plan import Recording, Watch

SIGNAL, RANKS, TENSORS = "signal", "ranks", "tensors"
"""Names in the capture's folder; signal and ranks are gone when it is whole."""
PERIOD_S = 0.1
_ON = int(State.RECORDING)


class Recorder:
    """All that this process records."""

    def __init__(self, order: Recording) -> None:
        for folder in (order.folder / TENSORS, order.folder / RANKS):
            folder.mkdir(parents=True, exist_ok=True)
        self._order = order
        self._signal = Signal(order.folder / SIGNAL)
        self._recipes = Recipes(self._keep_module)
        self._entries: dict[object, Entry] = {}
        self._seen: dict[object, Entry] = {}
        self._active: set[tuple[str, int]] = set()
        self._timing = False
        self._timed_calls = 0
        self._own_s = 0.0
        self._rank: int | None = None

    def begin(self, rank: int, size: int) -> None:
        """This process is a rank: share the room among all of them and their places, and listen for the end."""
        self._rank = rank
        places = [place for watch in self._order.watches for place in watch.places]
        share = self._order.budget_bytes // (max(1, size) * (len(places) + 1))
        self._rooms = {place: Room.of(share) for place in places}
        self._module_room = Room(share, 0)
        threading.Thread(target=self._listen, daemon=True, name="fk-overlay-capture").start()

    def recording(
        self, watch: Watch, path: str, function: Function, surroundings: Surroundings | None, *, method: bool
    ) -> Function:
        """``function``, with its calls recorded. A call inside another of the same task on the same instance is not:
        a patch for the task would replace both at once.

        Args:
            method: whether the first argument is an instance.
        """
        watched = Watched(watch, path, function, surroundings, method=method)
        cell, active = self._signal.cell, self._active

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if cell[0] != _ON or self._rank is None:
                return function(*args, **kwargs)
            inside = watch.task, id(args[0]) if method else 0
            if inside in active:
                return function(*args, **kwargs)
            active.add(inside)
            try:
                return self._record(watched, args, kwargs)
            finally:
                active.discard(inside)

        return recorded

    def _record(self, watched: Watched, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = time.perf_counter()
        entry, look = self._entry(watched, args, kwargs)
        number, entry.calls = entry.calls, entry.calls + 1
        place = entry.reservoir.place(number)
        if place is not None:
            look = look or watched.look(args, kwargs, self._recipes)
            self._keep(entry, look, number, place)
        timed = entry.time_this(number, self._timing)
        self._own_s += time.perf_counter() - began
        result = self._timed(entry, number, watched, args, kwargs) if timed else watched.function(*args, **kwargs)
        if number == 0 and look is not None:
            began = time.perf_counter()
            entry.results = look.results(result)
            self._own_s += time.perf_counter() - began
        return result

    def _entry(self, watched: Watched, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entry, Look | None]:
        quick = watched.quick(args, kwargs)
        if quick is not None and (known := self._seen.get(quick)) is not None:
            return known, None
        look = watched.look(args, kwargs, self._recipes)
        entry = self._entries.get(look.key)
        if entry is None:
            reservoir = Reservoir(self._order.samples, f"{self._order.seed}/{self._rank}/{len(self._entries)}")
            entry = Entry(watched.watch, watched.path, look.recipe, look.key, look.signature(), reservoir)
            self._entries[look.key] = entry
        entry.widen(look.call.scalars)
        if quick is not None:
            self._seen[quick] = entry
        return entry, look

    def _timed(self, entry: Entry, number: int, watched: Watched, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The recorder's own work in targets inside this one is taken out of its time."""
        inside, self._timing = self._timing, True
        self._timed_calls += 1
        before = self._timed_calls
        try:
            _synchronise()
            own, began = self._own_s, time.perf_counter()
            result = watched.function(*args, **kwargs)
            _synchronise()
            spent = time.perf_counter() - began - (self._own_s - own)
        finally:
            self._timing = inside
        entry.time(number, spent, disturbed=inside or self._timed_calls > before)
        return result

    def _keep(self, entry: Entry, look: Look, number: int, place: int) -> None:
        room, wanted = self._rooms[entry.place], {*entry.watch.values, *look.call.loose}
        held = keeping.take(look.call, number, lambda path: path.partition(".")[0] in wanted, room)
        held.arguments = look.signature() if look.call.loose else ()
        held.surroundings = look.surroundings()
        entry.reservoir.put(place, held, room)

    def _keep_module(self, call: Call) -> Snapshot:
        most = self._order.module_bytes
        held = keeping.take(call, 0, lambda path: call.tensors[path].nbytes <= most, self._module_room)
        return keeping.store(held, self._order.folder / TENSORS)

    # ---------------------------------------------------------------- the end

    def _listen(self) -> None:
        tick = threading.Event()
        while self._signal.cell[0] != State.FINISHED:
            tick.wait(PERIOD_S)
        path = self._order.folder / RANKS / str(self._rank)
        draft = path.with_suffix(".draft")
        try:
            draft.write_text(self._said(), encoding="utf-8")
        except Exception:
            draft.write_text(traceback.format_exc(), encoding="utf-8")
            draft.replace(path.with_suffix(".error"))
            raise
        draft.replace(path.with_suffix(".json"))

    def _said(self) -> str:
        assert self._rank is not None
        whole = [entry for entry in self._entries.values() if entry.timed_s]  # others never returned
        rows = [entry.row(self._rank, self._order.folder / TENSORS) for entry in whole]
        return json.dumps({"rows": rows, "modules": plain(self._recipes.found)})


def _synchronise() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
