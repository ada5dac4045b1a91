"""The published arithmetic, and what must hold of any score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.scoring.envelope import Envelope
from fk_overlay.scoring.forced import Discrepancy
from fk_overlay.scoring.macroeval import Macro, Model, Part, combine, log_speedup, macroeval, speedup

ENVELOPE = Envelope(top1=0.02, drift=0.02, margin=0.5, cliff=0.5, cap=0.5, agreement=0.99)

PUBLISHED = {
    ("dense and moe", "Llama-3.1-8B"): (1.017, 1.017),
    ("dense and moe", "gpt-oss-120b"): (1.023, 0.985),
    ("linear attention", "Qwen3-Next-80B"): (1.019, 1.003),
    ("linear attention", "Kimi-Linear-48B"): (1.013, 0.972),
    ("linear attention", "GLA-2.7B"): (1.108, 1.232),
    ("diffusion", "FLUX.1-dev"): (1.225, 1.251),
    ("vision language", "Qwen3-VL-235B"): (1.126, 1.076),
    ("detection", "YOLOv10n"): (1.020, 1.258),
    ("structure", "OpenFold3"): (1.069, 1.661),
    ("embedding", "BGE-M3"): (1.109, 1.103),
    ("world model", "Oasis"): (1.009, 1.259),
}
"""Throughput and latency speedups of one published leaderboard entry (S = 1.1338, score 1.114)."""


def item(discrepancy: float, request: int = 0) -> Discrepancy:
    return Discrepancy(request, "a", "b", 100, discrepancy, 0.0, ())


def model(name: str, family: str, *logs: float, discrepancy: float = 0.0, **other: bool) -> Model:
    return Model(name, family, logs, (item(discrepancy),), ENVELOPE, **other)


def published() -> Macro:
    return macroeval(
        [model(name, family, log_speedup([thr], [lat])) for (family, name), (thr, lat) in PUBLISHED.items()]
    )


def test_check_value() -> None:
    assert Part(1.1338, 0.9825, 1.0).score == pytest.approx(1.114, abs=5e-4)


def test_the_published_speedups_give_the_published_s() -> None:
    found = published()
    assert len(found.families) == 8
    assert found.total.speedup == pytest.approx(1.1338, abs=5e-4)
    assert (found.total.correctness, found.total.coverage) == (1.0, 1.0)


def test_speedup_is_the_geometric_mean_of_both_halves() -> None:
    assert speedup([1.21, 1.0], [1.0]) == pytest.approx(math.sqrt(1.1))
    assert speedup([2.0], [8.0], weight=1.0) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="positive"):
        speedup([1.0, 0.0], [1.0])


def test_invalid_models_cost_correctness_and_coverage_but_never_enter_a_geometric_mean() -> None:
    found = macroeval(
        [
            model("fast", "f", math.log(1.2)),
            model("wrong", "f", math.log(9.0), discrepancy=0.26),
            model("broken", "f", complete=False),
            model("idle", "g", math.log(5.0), engaged=False),
        ]
    )
    assert found.families["f"] == Part(pytest.approx(1.2), pytest.approx(0.5), pytest.approx(1 / 3))
    assert found.families["g"] == Part(None, 1.0, 0.0)
    assert found.total == Part(pytest.approx(1.2), pytest.approx(0.75), pytest.approx(1 / 6))
    assert found.total.score == pytest.approx(1.2 * 0.75 / 6)


def test_nothing_valid_scores_zero() -> None:
    found = macroeval([model("broken", "f", complete=False)])
    assert found.total == Part(None, 0.0, 0.0)
    assert (found.total.score, found.low, found.high) == (0.0, None, None)
    with pytest.raises(ValueError, match="at least one model"):
        macroeval([])


def test_the_score_at_half_and_twice_the_noise() -> None:
    """d = 0.06 against g of 0.01, 0.02 and 0.04: C = 1 - 0.05/0.49, 1 - 0.04/0.48, 1 - 0.02/0.46; the first fails."""
    found = macroeval([model("m", "f", 0.0, discrepancy=0.06)])
    assert found.total.score == pytest.approx(1 - 0.04 / 0.48)
    assert found.twice_noise == pytest.approx(1 - 0.02 / 0.46)
    assert found.half_noise == 0.0 == Part(None, 1 - 0.05 / 0.49, 0.0).score


def test_one_model_has_the_interval_of_its_restarts() -> None:
    logs = (0.01, 0.02, 0.03, 0.04, 0.05)
    found = macroeval([model("m", "f", *logs)])
    half = 2.7764451 * 0.0158113883 / math.sqrt(5)
    assert (found.low, found.high) == pytest.approx((math.exp(0.03 - half), math.exp(0.03 + half)))


def test_two_equal_models_narrow_the_interval_as_independent_means_do() -> None:
    """Two means of 5: variance halves, and Welch-Satterthwaite gives 8 degrees of freedom, t = 2.3060041."""
    logs = (0.01, 0.02, 0.03, 0.04, 0.05)
    found = macroeval([model("m", "f", *logs), model("n", "g", *logs)])
    half = 2.3060041 * 0.0158113883 / math.sqrt(5) / math.sqrt(2)
    assert (found.low, found.high) == pytest.approx((math.exp(0.03 - half), math.exp(0.03 + half)))


def test_one_pair_has_no_interval_and_no_spread_has_a_point() -> None:
    assert published().low is None
    found = macroeval([model("m", "f", 0.1, 0.1)])
    assert found.low == found.high == found.total.score


def test_win_curve() -> None:
    found = macroeval(
        [model("a", "f", math.log(1.1)), model("b", "f", math.log(0.97)), model("c", "g", complete=False)]
    )
    assert dict(found.wins)[1.0] == pytest.approx(1 / 3)
    assert dict(found.wins)[0.95] == pytest.approx(2 / 3)
    shares = [share for _, share in found.wins]
    assert shares == sorted(shares, reverse=True)


speedups = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=8)


@given(speedups)
def test_the_order_of_models_does_not_matter(values: list[float]) -> None:
    models = [model(str(at), f"f{at % 3}", math.log(value)) for at, value in enumerate(values)]
    assert macroeval(models[::-1]).total.score == pytest.approx(macroeval(models).total.score)


@given(speedups, st.floats(0.0, 1.0))
def test_a_valid_entry_lies_between_its_slowest_and_its_fastest_model(values: list[float], discrepancy: float) -> None:
    models = [model(str(at), f"f{at % 3}", math.log(value), discrepancy=discrepancy) for at, value in enumerate(values)]
    total = macroeval(models).total
    if total.speedup is not None:
        assert min(values) * (1 - 1e-9) <= total.speedup <= max(values) * (1 + 1e-9)
    assert total.score <= max(values) * (1 + 1e-9)


def test_a_family_without_a_valid_model_does_not_drag_s_down() -> None:
    assert combine([Part(1.5, 1.0, 1.0), Part(None, 0.0, 0.0)]) == Part(pytest.approx(1.5), 0.5, 0.5)
