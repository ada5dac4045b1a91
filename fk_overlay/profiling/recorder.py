"""Runs torch's profiler inside an engine process, with a range around every call of a task's places.

The profiler must be started and stopped by the thread that runs the model, so the calls themselves look at the signal:
the first call under ``RECORDING`` starts it, the first one under ``FINISHED`` stops it and writes what it saw. Under
CUDA graphs no call comes by; there the kernels alone are recorded, by a thread that listens.
"""

from __future__ import annotations

import functools
import json
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fk_overlay.capture.signal import Signal, State
from fk_overlay.plan import Profiling
from fk_overlay.profiling.attribution import PREFIX, Event, Usage, attribute

SIGNAL, RANKS = "signal", "ranks"
"""Names in the profile's folder."""
PERIOD_S = 0.02
Function = Callable[..., Any]


class Profiler:
    """All that this process profiles."""

    def __init__(self, order: Profiling) -> None:
        (order.folder / RANKS).mkdir(parents=True, exist_ok=True)
        self._order = order
        self._signal = Signal(order.folder / SIGNAL)
        self._state = State.PAUSED
        self._rank: int | None = None
        self._profile: Any = None

    def begin(self, rank: int) -> None:
        self._rank = rank
        if self._order.tool == "kernels":
            threading.Thread(target=self._listen, daemon=True, name="fk-overlay-profile").start()

    def ranged(self, task: str, function: Function) -> Function:
        """``function`` with a range of its task around every call."""
        if self._order.tool == "nvtx":
            return _with_nvtx(task, function)
        import torch

        # Unlike torch.profiler.record_function, it counts as the operator that launches a kernel where no other is
        # around the launch, as where Python starts a Triton kernel; else such kernels would be nobody's.
        record, name, cell = torch._C._profiler._RecordFunctionFast, PREFIX + task, self._signal.cell

        @functools.wraps(function)
        def ranged(*args: Any, **kwargs: Any) -> Any:
            if cell[0] != self._state and self._rank is not None:
                self._follow(State(cell[0]))
            with record(name):
                return function(*args, **kwargs)

        return ranged

    def _follow(self, state: State) -> None:
        self._state = state
        if state is State.RECORDING:
            self._start(cpu=True)
        elif state is State.FINISHED and self._profile is not None:
            self._stop(lambda events: _written(attribute(events)))

    def _listen(self) -> None:
        tick = threading.Event()
        for state in (State.RECORDING, State.FINISHED):
            while self._signal.cell[0] != state:
                tick.wait(PERIOD_S)
            if state is State.RECORDING:
                self._start(cpu=False)
        self._stop(_kernels)

    def _start(self, *, cpu: bool) -> None:
        import torch

        activity = torch.profiler.ProfilerActivity
        wanted = [activity.CPU] if cpu else []
        wanted += [activity.CUDA] if torch.cuda.is_available() else []
        self._profile = torch.profiler.profile(activities=wanted)
        self._profile.start()

    def _stop(self, said: Callable[[Sequence[Event]], dict[str, Any]]) -> None:
        path = self._order.folder / RANKS / str(self._rank)
        draft = path.with_suffix(".draft")
        try:
            self._profile.stop()
            draft.write_text(json.dumps(said(events(self._profile.events()))), encoding="utf-8")
        except Exception:
            draft.write_text(traceback.format_exc(), encoding="utf-8")
            draft.replace(path.with_suffix(".error"))
            raise
        draft.replace(path.with_suffix(".json"))


def events(seen: Sequence[Any]) -> list[Event]:
    """torch's events in our words. Those on the device come with the operators that launched them, or alone."""
    import torch

    alone = all(each.device_type != torch.autograd.DeviceType.CPU for each in seen)
    chosen = [each for each in seen if alone or each.device_type == torch.autograd.DeviceType.CPU]
    numbers = {id(each): number for number, each in enumerate(chosen)}
    return [
        Event(
            name=each.name,
            start_us=each.time_range.start,
            end_us=each.time_range.end,
            own_us=max(0.0, each.self_cpu_time_total),
            parent=numbers.get(id(each.cpu_parent)),
            kernels=tuple((kernel.name, kernel.duration) for kernel in each.kernels),
        )
        for each in chosen
    ]


def _written(usage: Usage) -> dict[str, Any]:
    return {
        "clock": usage.clock,
        "window_us": usage.window_us,
        "calls": usage.calls,
        "own": [[*key, spent.us, spent.calls] for key, spent in usage.own.items()],
        "total": [[*key, spent.us, spent.calls] for key, spent in usage.total.items()],
    }


def _kernels(seen: Sequence[Event]) -> dict[str, Any]:
    """Raises ValueError if nothing ran on a device."""
    if not seen:
        raise ValueError("nothing ran on a device")
    window_us = max(event.end_us for event in seen) - min(event.start_us for event in seen)
    return {"window_us": window_us, "kernels": [[event.name, event.end_us - event.start_us] for event in seen]}


def read(path: Path) -> Usage:
    """What a rank wrote about a profile with ranges."""
    said = json.loads(path.read_text(encoding="utf-8"))
    usage = Usage(said["clock"], said["window_us"])
    usage.calls.update(said["calls"])
    for spent, rows in ((usage.own, said["own"]), (usage.total, said["total"])):
        for task, name, us, calls in rows:
            spent[task, name].add(us, calls)
    return usage


def read_kernels(path: Path) -> tuple[list[tuple[str, float]], float]:
    """What a rank wrote about a profile without ranges: name and duration, microseconds, of every kernel, and the time
    from the first one's begin to the last one's end."""
    said = json.loads(path.read_text(encoding="utf-8"))
    return [(name, us) for name, us in said["kernels"]], said["window_us"]


def _with_nvtx(task: str, function: Function) -> Function:
    import torch

    nvtx = torch.cuda.nvtx

    @functools.wraps(function)
    def ranged(*args: Any, **kwargs: Any) -> Any:
        nvtx.range_push(PREFIX + task)
        try:
            return function(*args, **kwargs)
        finally:
            nvtx.range_pop()

    return ranged
