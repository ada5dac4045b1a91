"""Ratios over restart pairs, their orientation, and the merit that an interval allows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.core import BASELINE, Mode
from fk_overlay.scoring.effects import effects, log_ratios, merit_of, without_ratio
from fk_overlay.stats.pairs import Interval

values = st.floats(1.0, 1000.0)
table = st.lists(st.tuples(values, values), min_size=2, max_size=6)


def sample(arm: str, restart: int, value: float, number: int = 0, **other: Any) -> dict[str, Any]:
    record = {"arm": arm, "restart": restart, "pass": number, "workload": "w", "metric": "output_throughput"}
    return {**record, "value": value, "higher_is_better": True, **other}


def run(pairs: list[tuple[float, float]], **other: Any) -> list[dict[str, Any]]:
    arms = (BASELINE, "b")
    return [sample(arm, at, pair[side], **other) for at, pair in enumerate(pairs) for side, arm in enumerate(arms)]


def test_passes_are_averaged_on_the_log_scale_and_restarts_are_paired() -> None:
    found = log_ratios(
        [sample(BASELINE, 0, 100), sample("b", 0, 100), sample("b", 0, 121, 1), sample("b", 1, 300)], "b"
    )
    assert found == {("w", "output_throughput"): {0: pytest.approx(math.log(1.1))}}


def test_lower_is_better_is_turned_round() -> None:
    (effect,) = effects(run([(10.0, 8.0), (10.0, 8.0)], metric="ttft_p50", higher_is_better=False), "b", 0.005)
    assert effect.ratio == pytest.approx(1.25)
    assert effect.merit == "improved"


def test_other_arms_do_not_matter() -> None:
    pairs = run([(10.0, 11.0), (10.0, 12.0)])
    assert effects([*pairs, sample("c", 0, 50.0), sample("c", 1, 0.0)], "b", 0.005) == effects(pairs, "b", 0.005)


def test_a_zero_has_no_ratio_and_is_named() -> None:
    goodput = run([(1.0, 1.0), (1.0, 0.0)], metric="goodput")
    failed = run([(0.0, 0.0), (0.0, 0.0)], metric="failed_requests", higher_is_better=False)
    both = run([(10.0, 11.0), (10.0, 12.0)]) + goodput + failed
    assert without_ratio(both, "b") == [("w", "goodput")]
    assert [effect.metric for effect in effects(both, "b", 0.005)] == ["output_throughput"]


@pytest.mark.parametrize(
    ("low", "high", "merit", "screened"),
    [
        (1.006, 1.2, "improved", "unresolved"),
        (1.004, 1.2, "unresolved", "unresolved"),
        (0.995, 1.005, "neutral", "unresolved"),
        (0.994, 1.001, "unresolved", "unresolved"),
        (0.98, 0.994, "regressed", "unresolved"),
        (0.96, 0.974, "regressed", "regressed"),
    ],
)
def test_merit(low: float, high: float, merit: str, screened: str) -> None:
    span = Interval(math.sqrt(low * high), low, high, 5, 0.01)
    modes: tuple[Mode, Mode] = ("decide", "screen")
    assert [merit_of(span, 0.005, mode) for mode in modes] == [merit, screened]


@given(table)
def test_swapping_the_arms_inverts_every_ratio(pairs: list[tuple[float, float]]) -> None:
    samples = run(pairs)
    (forth,), (back,) = effects(samples, "b", 0.005), effects(samples, BASELINE, 0.005, baseline="b")
    assert (1 / back.ratio, 1 / back.high, 1 / back.low) == pytest.approx((forth.ratio, forth.low, forth.high))
    opposite = {"improved": "regressed", "regressed": "improved"}
    assert back.merit == opposite.get(forth.merit, back.merit)


@given(table, st.floats(0.01, 100.0))
def test_scaling_both_arms_changes_nothing(pairs: list[tuple[float, float]], factor: float) -> None:
    (plain,) = effects(run(pairs), "b", 0.005)
    (scaled,) = effects(run([(factor * one, factor * other) for one, other in pairs]), "b", 0.005)
    assert (scaled.ratio, scaled.low, scaled.high) == pytest.approx((plain.ratio, plain.low, plain.high))


@given(table, st.integers(2, 4))
def test_more_identical_passes_are_not_more_evidence(pairs: list[tuple[float, float]], passes: int) -> None:
    (once,) = effects(run(pairs), "b", 0.005)
    (often,) = effects([{**record, "pass": n} for n in range(passes) for record in run(pairs)], "b", 0.005)
    assert (often.pairs, often.ratio, often.low) == (once.pairs, pytest.approx(once.ratio), pytest.approx(once.low))
