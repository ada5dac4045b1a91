"""Counts executions on the device, so that the replay of a CUDA graph counts too.

The result of a swapped call is passed through an operator that copies it and adds one to a counter in device memory.
The copy makes it a data dependency: no compiler can drop or move it. It costs time and fusions, so it is used in
witness launches, which are never timed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fk_overlay.overlay.counters import Counters, Slot

PERIOD_S = 0.25


class Witness:
    """The device counters of one process and the operator that increments them."""

    def __init__(self, counters: Counters, rows: int) -> None:
        import torch

        self._counters = counters
        self._rows = rows
        self._device_counts: dict[torch.device, torch.Tensor] = {}
        self._host_counts: dict[torch.device, torch.Tensor] = {}
        self._op = self._register()
        self.start()

    def start(self) -> None:
        """Count from zero and publish; once more in a forked process, which has none of its parent's threads."""
        self._device_counts.clear()
        self._host_counts.clear()
        threading.Thread(target=self._publish_forever, daemon=True, name="fk-overlay-witness").start()

    def mark(self, row: int) -> Callable[[Any], Any]:
        """A function that passes a call's result on and counts it: the first tensor of the result is copied."""
        import torch

        op = self._op

        def passed(result: Any) -> Any:
            if isinstance(result, torch.Tensor):
                return op(result, row)
            if isinstance(result, tuple | list):
                first = next((index for index, part in enumerate(result) if isinstance(part, torch.Tensor)), None)
                if first is not None:
                    parts = [op(part, row) if index == first else part for index, part in enumerate(result)]
                    return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
            return result

        return passed

    def _register(self) -> Any:
        import torch

        library = torch.library.Library("fk_overlay", "DEF")
        library.define("witness(Tensor x, int row) -> Tensor")
        library.impl("witness", self._count, "CompositeExplicitAutograd")
        library.impl("witness", lambda x, row: torch.empty_like(x), "Meta")
        self._library = library
        return torch.ops.fk_overlay.witness.default

    def _count(self, x: Any, row: int) -> Any:
        counts = self._counts(x.device)
        counts[row] += 1
        if x.is_cuda:
            self._host_counts[x.device].copy_(counts, non_blocking=True)
        return x.clone()

    def _counts(self, device: Any) -> Any:
        import torch

        if device not in self._device_counts:
            with torch.inference_mode(mode=False):  # engines run in and out of inference mode; both must count
                counts = torch.zeros(self._rows, dtype=torch.int64, device=device)
                host = torch.zeros(self._rows, dtype=torch.int64, pin_memory=True) if device.type == "cuda" else counts
            self._device_counts[device], self._host_counts[device] = counts, host
        return self._device_counts[device]

    def _publish_forever(self) -> None:
        """Copies what the device wrote to pinned memory into the mapped counters, without any synchronisation."""
        tick = threading.Event()
        while not tick.wait(PERIOD_S):
            for host in list(self._host_counts.values()):
                for row, count in enumerate(host.tolist()):
                    self._counters.put(row, Slot.REPLAYS, max(count, self._counters.get(row, Slot.REPLAYS)))
