"""Wraps a kernel and its original into the function that the engine calls, counting on the way.

The wrapper must cost nothing where it matters. In eager mode it adds one store to mapped memory per call. Dynamo traces
through it: ``is_compiling`` is a constant there, so the compiled graph holds the kernel and no trace of the counting,
which runs once, at trace time (``assume_constant_result``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fk_overlay.overlay.counters import WIDTH, Counters, Slot

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Tally:
    """Where the calls of one place are counted. ``witness`` marks results on the device (witness launches only)."""

    counters: Counters | None
    row: int
    witness: Callable[[Any], Any] | None = None

    def add(self, slot: Slot, count: int = 1) -> None:
        if self.counters is not None:
            self.counters.add(self.row, slot, count)


def guarded(original: Function, kernel: Function, supports: Function | None, tally: Tally) -> Function:
    """The function to put in place: ``kernel`` where ``supports`` agrees, else ``original``, each call counted."""
    import torch

    is_compiling = torch.compiler.is_compiling
    ran = _counter(tally, Slot.TRACED), _eager_counter(tally)
    refused = _counter(tally, Slot.FALLBACK), _plain_counter(tally, Slot.FALLBACK)
    witness = tally.witness

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        if supports is not None and not supports(*args, **kwargs):
            refused[0]() if is_compiling() else refused[1]()
            return original(*args, **kwargs)
        ran[0]() if is_compiling() else ran[1]()
        result = kernel(*args, **kwargs)
        return result if witness is None else witness(result)

    return patched


def counted(kernel: Function, tally: Tally) -> Function:
    """``kernel``, with every call counted; for seams where the engine itself decides who serves a call."""
    return guarded(kernel, kernel, None, tally)


def _counter(tally: Tally, slot: Slot) -> Callable[[], None]:
    """Counts once while Dynamo traces; in the compiled graph nothing is left of it."""

    def count() -> None:
        tally.add(slot)

    # What torch.compiler.assume_constant_result does, without its import of torch._dynamo: an engine that compiles
    # nothing never pays for that, and it takes seconds.
    count._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return count


def _plain_counter(tally: Tally, slot: Slot) -> Callable[[], None]:
    counters, cell = tally.counters, tally.row * WIDTH + slot
    if counters is None:
        return lambda: None

    def count() -> None:
        counters.cells[cell] += 1

    return count


def _eager_counter(tally: Tally) -> Callable[[], None]:
    """Counts a call that runs in Python; on a GPU, calls during a graph capture are told apart."""
    import torch

    eager, captured = _plain_counter(tally, Slot.EAGER), _plain_counter(tally, Slot.CAPTURED)
    if tally.counters is None or torch.version.cuda is None:
        return eager
    capturing = torch.cuda.is_current_stream_capturing

    def count() -> None:
        captured() if capturing() else eager()

    return count
