"""The search against oracles that know the truth: every subset of it, for patches that break, break together, and mend
each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fk_overlay.compose.search import Answer, Search, Subset

NAMES = tuple("abcdefghijklmnop")


class Oracle:
    """Answers from a rule and counts what it is asked.

    Args:
        trace: what a traceback would say of a failing subset.
    """

    def __init__(self, holds: Callable[[Subset], bool], trace: Callable[[Subset], str | None] = lambda _: None) -> None:
        self.holds = holds
        self.trace = trace
        self.asked: list[Subset] = []

    def __call__(self, subset: Subset) -> Answer:
        assert subset, "the baseline is nobody's question"
        assert subset not in self.asked, "asked twice"
        self.asked.append(subset)
        good = self.holds(subset)
        return Answer(good, None if good else self.trace(subset))


def without(*cores: str) -> Callable[[Subset], bool]:
    """A rule by which these sets fail, and all that contain one of them."""
    return lambda subset: not any(set(core) <= subset for core in cores)


def search(count: int, oracle: Oracle) -> tuple[Search, Subset]:
    made = Search(NAMES[:count], oracle)
    return made, made.largest()


def subsets(count: int) -> Iterable[Subset]:
    names = NAMES[:count]
    return map(frozenset, chain.from_iterable(combinations(names, size) for size in range(count + 1)))


def text(subset: Iterable[str]) -> str:
    return "".join(sorted(subset))


# ---------------------------------------------------------------- by hand


def test_a_pack_that_holds_takes_one_trial() -> None:
    oracle = Oracle(without())
    assert text(search(16, oracle)[1]) == "abcdefghijklmnop"
    assert len(oracle.asked) == 1


@pytest.mark.parametrize("culprit", NAMES)
def test_a_silent_culprit_is_found_by_halving(culprit: str) -> None:
    oracle = Oracle(without(culprit))
    made, kept = search(16, oracle)
    assert kept == frozenset(NAMES) - {culprit}
    assert [core.patches for core in made.cores] == [{culprit}]
    assert len(oracle.asked) <= 1 + math.log2(16) + 1 + 1, "all, halving, the culprit alone, the rest"


@pytest.mark.parametrize("count", range(1, 12))
def test_a_traced_culprit_costs_nothing_to_find(count: int) -> None:
    culprit = NAMES[count - 1]
    oracle = Oracle(without(culprit), lambda _: culprit)
    made, kept = search(count, oracle)
    assert kept == frozenset(NAMES[: count - 1])
    assert made.cores[0].traced
    assert len(oracle.asked) == (2 if count > 1 else 1)


def test_two_that_break_only_together_are_told_apart_from_the_rest() -> None:
    oracle = Oracle(without("cg"))
    made, kept = search(8, oracle)
    assert text(kept) == "abcdefh", "of two equal choices the one that comes first in the pack stays"
    assert [text(core.patches) for core in made.cores] == ["cg"]
    assert len(oracle.asked) <= 1 + 2 * 3 + 4


def test_one_that_is_in_every_conflict_is_dropped_instead_of_its_partners() -> None:
    assert text(search(6, Oracle(without("ab", "ac", "ad")))[1]) == "bcdef"


def test_nothing_holds() -> None:
    assert search(3, Oracle(without("a", "b", "c")))[1] == frozenset()
    assert search(0, Oracle(without()))[1] == frozenset()


def test_a_patch_that_is_broken_alone_and_mended_by_another_stays() -> None:
    """b needs a: alone it fails, and so does every subset with b and without a."""
    oracle = Oracle(lambda subset: "b" not in subset or "a" in subset)
    assert text(search(3, oracle)[1]) == "abc"
    assert len(oracle.asked) == 1


def test_a_trace_that_names_the_wrong_patch_is_mended() -> None:
    """b raises over what a has made of its input; the trace says b."""
    oracle = Oracle(without("a"), lambda subset: "b" if "b" in subset else None)
    made, kept = search(4, oracle)
    assert text(kept) == "bcd"
    assert [(text(core.patches), core.traced) for core in made.cores] == [("b", True), ("a", False)]


def test_suspects_are_tried_alone_first() -> None:
    asked: list[str] = []

    def ask(subset: Subset) -> Answer:
        asked.append(text(subset))
        return Answer("g" not in subset, suspects=("f", "g"))

    assert text(Search(NAMES[:8], ask).largest()) == "abcdefh"
    assert asked == ["abcdefgh", "f", "g", "abcdefh"]


def test_suspects_that_are_innocent_alone_lead_to_the_pair() -> None:
    rule = without("ch")
    made = Search(NAMES[:8], lambda subset: Answer(rule(subset), suspects=("c",)))
    assert text(made.largest()) == "abcdefg"
    assert [text(core.patches) for core in made.cores] == ["ch"]


def test_what_is_learnt_elsewhere_counts_more_than_a_trial() -> None:
    oracle = Oracle(without())
    made, kept = search(4, oracle)
    made.learn(kept, Answer(False, blamed="d"))
    assert text(made.largest()) == "abc"


def test_a_patch_that_is_left_out_comes_back_in_no_subset() -> None:
    oracle = Oracle(without("ab"))
    made, kept = search(4, oracle)
    assert text(kept) == "acd"
    made.leave_out("a")
    assert text(made.largest()) == "bcd", "what it was in the way of comes back"


# ---------------------------------------------------------------- all that can happen


def cores_of(count: int) -> st.SearchStrategy[list[str]]:
    core = st.sets(st.sampled_from(NAMES[:count]), min_size=1, max_size=3).map(text)
    return st.lists(core, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 7).flatmap(lambda count: st.tuples(st.just(count), cores_of(count))), st.booleans())
def test_no_larger_subset_holds_where_failures_only_grow(drawn: tuple[int, list[str]], traced: bool) -> None:
    count, broken = drawn

    def trace(subset: Subset) -> str | None:
        return next((core for core in broken if len(core) == 1 and core in subset), None) if traced else None

    rule = without(*broken)
    made, kept = search(count, oracle := Oracle(rule, trace))
    best = max(len(subset) for subset in subsets(count) if rule(subset))
    assert rule(kept)
    assert len(kept) == best
    minimal = {frozenset(core) for core in broken if not any(set(other) < set(core) for other in broken)}
    assert {core.patches for core in made.cores} <= minimal
    assert len(oracle.asked) <= 2**count - 1


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, 2 ** (2**count) - 1))))
def test_any_rule_at_all_gives_a_subset_that_holds_and_cannot_be_grown(drawn: tuple[int, int]) -> None:
    count, bits = drawn
    table = {subset: bool(bits >> number & 1) or not subset for number, subset in enumerate(subsets(count))}
    made, kept = search(count, Oracle(table.__getitem__))
    assert table[kept]
    assert not any(table[kept | {name}] for name in NAMES[:count] if name not in kept)
    for core in made.cores:
        assert not table[core.patches]
        assert all(table[core.patches - {name}] for name in core.patches)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 5).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, 2 ** (2**count) - 1))),
    st.randoms(use_true_random=False),
)
def test_traces_that_lie_do_not_change_what_is_promised(drawn: tuple[int, int], chance: object) -> None:
    count, bits = drawn
    table = {subset: bool(bits >> number & 1) or not subset for number, subset in enumerate(subsets(count))}
    oracle = Oracle(table.__getitem__, lambda subset: chance.choice([None, *sorted(subset)]))  # type: ignore[attr-defined]
    _, kept = search(count, oracle)
    assert table[kept]
    assert not any(table[kept | {name}] for name in NAMES[:count] if name not in kept)
