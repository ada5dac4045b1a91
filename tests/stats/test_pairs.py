"""The interval covers what it claims to cover, and pooling passes would not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.stats.pairs import half_width, interval, pairs_needed, t_quantile

logs = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=12)


def test_golden_interval() -> None:
    found = interval([0.01, 0.02, 0.03, 0.04, 0.05])
    assert found.ratio == pytest.approx(math.exp(0.03))
    assert found.sd == pytest.approx(0.0158113883)
    half = 2.7764451052 * 0.0158113883 / math.sqrt(5)
    assert (found.low, found.high) == pytest.approx((math.exp(0.03 - half), math.exp(0.03 + half)))


def test_textbook_t_quantiles() -> None:
    assert [t_quantile(df) for df in (1, 4, 9)] == pytest.approx([12.7062047, 2.7764451, 2.2621572])


def test_one_pair_says_nothing_about_the_spread() -> None:
    found = interval([0.1])
    assert (found.low, found.high, found.pairs) == (0.0, math.inf, 1)
    assert math.isnan(found.sd)
    assert found.contains(1.0)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf]])
def test_values_without_an_interval_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite log ratio"):
        interval(values)


def test_coverage_with_restart_noise_and_what_pooling_would_claim() -> None:
    """Restart sd 1.5 %, pass sd 0.5 % per arm, no effect, K = 5, P = 2; 4,000 runs put 95 % +- 0.7 % at two errors."""
    draw = np.random.default_rng(20)
    runs, restarts, passes = 4000, 5, 2
    arms = draw.normal(0, 0.015, (runs, 2, restarts, 1)) + draw.normal(0, 0.005, (runs, 2, restarts, passes))
    differences = arms[:, 1] - arms[:, 0]
    by_restart = np.mean([interval(run.mean(axis=1)).contains(1.0) for run in differences])
    pooled = np.mean([interval(run.ravel()).contains(1.0) for run in differences])
    assert 0.94 < by_restart < 0.96
    assert pooled < 0.85


@given(logs)
def test_swapping_the_arms_inverts_the_interval(values: list[float]) -> None:
    forth, back = interval(values), interval([-value for value in values])
    assert (1 / back.ratio, 1 / back.high, 1 / back.low) == pytest.approx((forth.ratio, forth.low, forth.high))


@given(logs, st.floats(1.0, 5.0))
def test_more_noise_never_narrows(values: list[float], factor: float) -> None:
    centre = float(np.mean(values))
    wide = interval([centre + factor * (value - centre) for value in values])
    near = interval(values)
    assert wide.low <= near.low * (1 + 1e-9)
    assert wide.high >= near.high * (1 - 1e-9)


@given(st.floats(0.001, 0.05), st.floats(0.9, 1.1), st.integers(2, 20))
def test_the_advice_resolves_and_no_smaller_number_does(sd: float, ratio: float, have: int) -> None:
    more = pairs_needed(sd, 0.005, ratio, have)
    room = min(abs(math.log(ratio / 1.005)), abs(math.log(ratio / 0.995)))
    if more is None:
        assert half_width(sd, 200) >= room
    else:
        assert half_width(sd, have + more) < room
        assert more == 0 or half_width(sd, have + more - 1) >= room


def test_advice_for_a_plain_case_and_for_a_hopeless_one() -> None:
    assert pairs_needed(0.012, 0.005, 1.02, have=5) == 1
    assert pairs_needed(0.012, 0.005, 1.015, have=5) == 4
    assert pairs_needed(0.012, 0.005, 1.005) is None
    assert pairs_needed(math.nan, 0.005, 1.1, have=1) is None
