"""Counters that survive the process: 64-bit integers in a memory-mapped file, one row per swapped place.

A row can be read from outside at any time, and what was counted is there even after SIGKILL. Incrementing costs a
memoryview store, no lock and no system call.
"""

from __future__ import annotations

import mmap
import struct
from enum import IntEnum
from pathlib import Path


class Slot(IntEnum):
    """Columns of a row."""

    EAGER = 0
    """Calls that ran in Python."""
    TRACED = 1
    """Calls that Dynamo traced into a compiled graph."""
    CAPTURED = 2
    """Calls during the capture of a CUDA graph."""
    FALLBACK = 3
    """Calls that ``supports`` refused and the original served."""
    INSTANCES = 4
    """Modules of the loaded model that use the target."""
    PREPARED = 5
    """Modules that ``prepare`` was run on."""
    REPLAYS = 6
    """Executions counted on the device, inside replayed graphs too (witness launches only)."""


WIDTH = len(Slot)


class Counters:
    """Rows of :class:`Slot` columns, all zero at first. The file is made by the process that counts."""

    def __init__(self, path: Path, rows: int) -> None:
        self._size = max(1, rows) * WIDTH * 8
        self.move(path)

    def move(self, path: Path) -> None:
        """Count from zero in a new file, as a forked process must: it shares the old one with its parent."""
        path.write_bytes(bytes(self._size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self._size)
        self.cells = memoryview(self._map).cast("q")

    def add(self, row: int, slot: Slot, count: int = 1) -> None:
        self.cells[row * WIDTH + slot] += count

    def get(self, row: int, slot: Slot) -> int:
        return self.cells[row * WIDTH + slot]

    def put(self, row: int, slot: Slot, value: int) -> None:
        self.cells[row * WIDTH + slot] = value


def read(path: Path) -> list[tuple[int, ...]]:
    """The rows of a counter file, empty if it is not there."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    return list(struct.iter_unpack(f"={WIDTH}q", data[: len(data) // (WIDTH * 8) * WIDTH * 8]))
