"""How the rows of a call are divided among sequences, of whose earlier tokens an engine keeps keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Rows of a call that are tokens of one sequence: the ``begin``-th to the one before ``end``.

    Attributes:
        sequence: which one, counted from 0.
    """

    sequence: int
    begin: int
    end: int

    @property
    def rows(self) -> int:
        return self.end - self.begin


Step = tuple[Span, ...]
"""A call, in the order of its rows. No sequence has two spans."""


def step_of(begins: Sequence[int], ends: Sequence[int]) -> Step:
    """The step whose i-th sequence runs from ``begins[i]`` to ``ends[i]``. Raises ValueError for one without tokens."""
    if any(not 0 <= begin < end for begin, end in zip(begins, ends, strict=True)):
        raise ValueError(f"tokens {list(begins)} to {list(ends)} are no sequences")
    return tuple(Span(number, begin, end) for number, (begin, end) in enumerate(zip(begins, ends, strict=True)))


def ending(counts: Sequence[int], ends: Sequence[int]) -> Step:
    """The step that has the last ``counts[i]`` tokens of sequences of ``ends[i]``. Raises ValueError for one without
    tokens, or with fewer than that."""
    return step_of([end - count for count, end in zip(counts, ends, strict=True)], ends)


def rows(step: Step) -> int:
    return sum(span.rows for span in step)


def positions(step: Step) -> list[int]:
    """Of every row, which token of its sequence it is."""
    return [position for span in step for position in range(span.begin, span.end)]


def first(step: Step, count: int) -> Step:
    """The first ``count`` rows of it."""
    kept, left = [], count
    for span in step:
        if left > 0:
            kept.append(span._replace(end=min(span.end, span.begin + left)))
        left -= span.rows
    return tuple(kept)


def before(step: Step) -> list[Step]:
    """The steps that fill the cache for this one: all earlier tokens but the last of each sequence at once, as in a
    prefill, then the last ones, as in decoding. So both ways to write to the cache come before a call that reads."""
    earlier = [span for span in step if span.begin]
    prefill = tuple(Span(span.sequence, 0, span.begin - 1) for span in earlier if span.begin > 1)
    decode = tuple(Span(span.sequence, span.begin - 1, span.begin) for span in earlier)
    return [each for each in (prefill, decode) if each]
