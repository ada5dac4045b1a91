"""Wraps a kernel and its original into the function that the engine calls, counting on the way.

The wrapper must cost nothing where it matters. In eager mode it adds one store to mapped memory per call. Dynamo traces
through it: ``is_compiling`` is a constant there, so the compiled graph holds the kernel and no trace of the counting,
which runs once, at trace time (``assume_constant_result``).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fk_overlay.overlay.counters import WIDTH, Counters, Slot

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Tally:
    """Where the calls of one place are counted.

    Attributes:
        witness: marks results on the device (witness launches only).
        told: hears why calls were refused.
    """

    counters: Counters | None
    row: int
    witness: Callable[[Any], Any] | None = None
    told: Callable[[str], None] | None = None

    def add(self, slot: Slot, count: int = 1) -> None:
        if self.counters is not None:
            self.counters.add(self.row, slot, count)


def guarded(
    original: Function,
    kernel: Function,
    supports: Function | None,
    tally: Tally,
    *,
    why_not: Callable[..., str] | None = None,
) -> Function:
    """The function to put in place: ``kernel`` where ``supports`` agrees, else ``original``, each call counted.

    Args:
        why_not: gives a sentence on a call that ``supports`` refused. Asked at the first refusal, the second, the
            fourth and so on, outside compiled graphs.
    """
    import torch

    is_compiling = torch.compiler.is_compiling
    ran = _counter(tally, Slot.TRACED), _eager_counter(tally)
    refused = _counter(tally, Slot.FALLBACK), _refusal_counter(tally, why_not)
    witness = tally.witness

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        if supports is not None and not supports(*args, **kwargs):
            refused[0]() if is_compiling() else refused[1](*args, **kwargs)
            return original(*args, **kwargs)
        ran[0]() if is_compiling() else ran[1]()
        result = kernel(*args, **kwargs)
        return result if witness is None else witness(result)

    return patched


def refusal(patch: Any) -> tuple[Function | None, Callable[..., str] | None]:
    """What a patch offers, if it does, to decline calls: ``supports`` and ``why_not``."""
    return getattr(patch, "supports", None), getattr(patch, "why_not", None)


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


def _refusal_counter(tally: Tally, why_not: Callable[..., str] | None) -> Callable[..., None]:
    plain, told = _plain_counter(tally, Slot.FALLBACK), tally.told
    if why_not is None or told is None:
        return lambda *args, **kwargs: plain()
    numbers = itertools.count(1)

    def count(*args: Any, **kwargs: Any) -> None:
        plain()
        if next(numbers).bit_count() == 1:
            told(why_not(*args, **kwargs))

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
