"""Times a call on the card: CUDA events around the replay of its CUDA graph, with a cold L2.

A graph, since engines decode through one and since gaps between launches would hide what a configuration changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fk_overlay.bench.cold import ColdCache
from fk_overlay.errors import EngineError

WARM_UP = 3
"""Calls ahead of the capture: they compile, and allocate what libraries keep."""


@dataclass(slots=True)
class GraphClock:
    """See :class:`fk_overlay.tuning.layer.Clock`."""

    cool: Callable[[], object]
    """Makes the L2 cache cold, ahead of every replay and off the clock."""

    @classmethod
    def here(cls) -> GraphClock:
        """Raises :class:`EngineError` on a machine without a CUDA GPU."""
        import torch

        if not torch.cuda.is_available():
            raise EngineError("tuning measures kernels on a CUDA GPU, and this machine has none; run it on one")
        return cls(ColdCache())

    def times(self, call: Callable[[], object], before: Callable[[int], None], calls: int) -> list[float]:
        import torch

        graph = _captured(call)
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
        for number, (begin, end) in enumerate(events):
            before(number)
            self.cool()
            begin.record()
            graph.replay()
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) / 1e3 for begin, end in events]


def _captured(call: Callable[[], object]) -> Any:
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph
