"""A cold L2 cache ahead of a timed call, as a kernel finds it whose weights were last read a layer's time ago."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SWEPT = 2
"""How many times the size of the L2 cache is read."""
ROW = 4096
"""Elements that are summed to one: a row for each block, which needs no memory from the allocator."""


class ColdCache:
    """Called ahead of a timed call: reads twice the L2 cache, and takes back what was reserved in it.

    Reads, since a cache that was swept by writing is full of lines that the timed call must write back: up to the whole
    cache, 50 MB on an H100, which at 3 TB/s is 17 us of somebody else's work.
    """

    def __init__(self) -> None:
        import torch

        rows = SWEPT * l2_bytes() // (4 * ROW)
        self._memory = torch.zeros((rows, ROW), dtype=torch.float32, device="cuda")
        self._sums = torch.empty(rows, dtype=torch.float32, device="cuda")
        self._reset = _persisting_reset()

    def __call__(self) -> None:
        import torch

        self._reset()
        torch.sum(self._memory, dim=1, out=self._sums)


def l2_bytes() -> int:
    import torch

    return int(torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size)


def _persisting_reset() -> Callable[[], Any]:
    """``cudaCtxResetPersistingL2Cache`` of the runtime that torch has loaded."""
    import ctypes

    import torch

    runtime = ctypes.CDLL(f"libcudart.so.{str(torch.version.cuda).partition('.')[0]}")
    reset: Callable[[], Any] = runtime.cudaCtxResetPersistingL2Cache
    return reset
