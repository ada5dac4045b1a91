"""Rows of a call as tokens of sequences, and the calls that fill a cache for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.engines import sequences
from fk_overlay.engines.sequences import Span, Step, step_of

SPANS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=6)
STEPS = SPANS.map(lambda spans: step_of([begin for begin, _ in spans], [begin + rows for begin, rows in spans]))


def test_a_mixed_batch() -> None:
    step = step_of([4, 0, 1], [5, 3, 2])
    assert sequences.rows(step) == 5
    assert sequences.positions(step) == [4, 0, 1, 2, 1]
    assert sequences.before(step) == [(Span(0, 0, 3),), (Span(0, 3, 4), Span(2, 0, 1))]
    assert sequences.first(step, 2) == (Span(0, 4, 5), Span(1, 0, 1))


def test_a_prefill_needs_nothing_before_it() -> None:
    assert sequences.before(step_of([0, 0], [7, 1])) == []


@given(STEPS)
def test_every_earlier_token_is_written_once_and_in_order(step: Step) -> None:
    filled = {span.sequence: 0 for span in step}
    for each in (*sequences.before(step), step):
        assert len({span.sequence for span in each}) == len(each)
        for span in each:
            assert span.begin == filled[span.sequence]
            filled[span.sequence] = span.end
    assert filled == {span.sequence: span.end for span in step}


@given(STEPS, st.integers(1, 30))
def test_fewer_rows_are_the_first_ones(step: Step, count: int) -> None:
    fewer = sequences.first(step, count)
    assert sequences.rows(fewer) == min(count, sequences.rows(step))
    assert sequences.positions(fewer) == sequences.positions(step)[:count]


@pytest.mark.parametrize(("begins", "ends"), [([3], [3]), ([-1], [2]), ([0, 1], [4])])
def test_what_is_no_batch(begins: list[int], ends: list[int]) -> None:
    with pytest.raises(ValueError, match=r"no sequences|longer|shorter"):
        step_of(begins, ends)
