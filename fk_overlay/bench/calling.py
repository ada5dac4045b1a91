"""One timed call: eager, compiled, or the replay of a CUDA graph. The clock is fixed when an arm is opened: the host's
on a CPU, CUDA events on a GPU; neither ever stands in for the other.

On a GPU the L2 cache is cold before each call. A graph holds one call, so that it can be: between the calls of a longer
one it could not. Hot calls, which find in the cache what the making of their inputs left there, are timed apart. Then
the device is kept busy until the call is enqueued, as in an engine whose host is ahead of its device: else the events
of a kernel of 5 us would time a launch of 20. A stream of the kernel's own could work meanwhile, off the clock, if it
did not wait for its inputs: so these are withheld, and come by the stream that the call is enqueued on, once the device
is free for it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fk_overlay.bench.cold import ColdCache
from fk_overlay.bench.inputs import Made

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["eager", "compile", "graph"]
BUSY_CYCLES = 400_000, 700_000
"""Of the device's clock, some 200 to 350 us: longer than a host takes to enqueue a layer's part. Which of them is drawn
for every call, so that nobody knows when it is over."""
GRAPHS = 4
"""How many graphs take turns, each with buffers of its own, so that an address says nothing about a call."""
Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Called:
    """A call and what the arm says of it.

    Attributes:
        seconds: by the declared clock.
        late_s: between the end of the stream's work and that of the device's; 0 on a CPU.
        buffers: what a graph was given in place of the call's own arguments.
    """

    result: Any
    seconds: float
    late_s: float = 0.0
    buffers: Made | None = None


class Caller(Protocol):
    clock: str

    def withhold(self, made: Made) -> None:
        """Take the values of a call's arguments away, where it could be begun too early; the call gives them back."""

    def __call__(self, made: Made, *, hot: bool = False) -> Called: ...


class OnHost:
    """Timed by the host's clock."""

    clock = "host"

    def __init__(self, function: Function) -> None:
        self._function, self._now = function, time.perf_counter_ns

    def withhold(self, made: Made) -> None:
        return None

    def __call__(self, made: Made, *, hot: bool = False) -> Called:
        began = self._now()
        result = self._function(*made.args, **made.kwargs)
        return Called(result, (self._now() - began) * 1e-9)


class OnDevice:
    """Timed by events on the current stream, the cache cold. The device-wide end is looked at too: work on another
    stream does not hold up the stop event."""

    clock = "cuda_events"

    def __init__(self, function: Function) -> None:
        import torch

        self._function, self._now = function, time.perf_counter
        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._cold = ColdCache()
        self._withheld: list[tuple[Tensor, Tensor]] = []

    def withhold(self, made: Made) -> None:
        mine = [tensor for tensor in made.tensors.values() if tensor.is_cuda]
        self._withheld = [(tensor, tensor.clone()) for tensor in mine]
        for tensor in mine:
            tensor.zero_()

    def __call__(self, made: Made, *, hot: bool = False) -> Called:
        import torch

        withheld, self._withheld = self._withheld, []  # and kept: what they lie in must not become a result's memory
        _keep_busy()
        for tensor, values in withheld:
            tensor.copy_(values)
        if not hot:
            self._cold()
        self._begin.record()
        result = self._function(*made.args, **made.kwargs)
        self._end.record()
        self._end.synchronize()
        stream_done = self._now()
        torch.cuda.synchronize()
        late = self._now() - stream_done
        return Called(result, self._begin.elapsed_time(self._end) * 1e-3, late)


def _keep_busy() -> None:
    import torch

    least, most = BUSY_CYCLES
    torch.cuda._sleep(least + secrets.randbelow(most - least))


class Graphs:
    """Replays of CUDA graphs of one call each, captured on buffers of their own.

    A call copies its inputs into the next graph's buffers. What the graph returns lies in the graph's own memory; it is
    poisoned through the results of the capture before each replay.
    """

    clock = "cuda_events"

    def __init__(self, function: Function, make: Callable[[int], Made]) -> None:
        import torch

        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._now = time.perf_counter
        self._turn = 0
        self._cold = ColdCache()
        self._held = [self._captured(function, make(number)) for number in range(GRAPHS)]

    def withhold(self, made: Made) -> None:
        """Nothing: a replay begins behind everything on its stream, and its inputs are copied there."""

    def __call__(self, made: Made, *, hot: bool = False) -> Called:
        import torch

        graph, buffers, result = self._held[self._turn % len(self._held)]
        self._turn += 1
        for path, tensor in made.tensors.items():
            buffers.tensors[path].copy_(tensor)
        if not hot:
            self._cold()
        _keep_busy()
        self._begin.record()
        graph.replay()
        self._end.record()
        self._end.synchronize()
        stream_done = self._now()
        torch.cuda.synchronize()
        late = self._now() - stream_done
        for path, tensor in made.tensors.items():  # what the graph wrote to its buffers is what the call wrote
            tensor.copy_(buffers.tensors[path])
        return Called(result, self._begin.elapsed_time(self._end) * 1e-3, late, buffers)

    def results(self) -> list[Any]:
        """What the next graph will write its results to."""
        return [self._held[self._turn % len(self._held)][2]]

    @staticmethod
    def _captured(function: Function, buffers: Made) -> tuple[Any, Made, Any]:
        import torch

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                function(*buffers.args, **buffers.kwargs)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = function(*buffers.args, **buffers.kwargs)
        return graph, buffers, result


def caller(function: Function, mode: Mode, device: str, make: Callable[[int], Made]) -> Caller:
    """How calls are made in this mode on this device. ``make`` gives the buffers of a graph, by number."""
    import torch

    if mode == "graph":
        return Graphs(function, make)
    if mode == "compile":
        function = torch.compile(function, fullgraph=True)
    return OnDevice(function) if device.startswith("cuda") else OnHost(function)


def poison(specs: list[tuple[tuple[int, ...], Any]], device: str, value: float | None, copies: int = 3) -> None:
    """Fill memory of the results' sizes and give it back: what a call allocates next holds ``value`` (None: NaN)."""
    import torch

    held: list[Tensor] = []
    for shape, dtype in specs:
        real = dtype.is_floating_point
        filler = (float("nan") if value is None else value) if real else int(value or 0)
        held += [torch.full(shape, filler, dtype=dtype, device=device) for _ in range(copies)]
