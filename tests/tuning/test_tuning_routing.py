"""Shapes, routing and the roofline: what the kernel is given to do, and how fast it could be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fk_overlay.errors import UsageError
from fk_overlay.tuning import roofline, shapes
from fk_overlay.tuning.routing import Routing, busiest, touched

QWEN = shapes.get("qwen3-30b-a3b")
H100 = roofline.Peaks.reachable("NVIDIA H100 80GB HBM3")
assert H100 is not None


def test_shapes_are_what_the_files_are_named_after() -> None:
    found = [(name, shape.experts, shape.inter, shape.top_k) for name, shape in shapes.SHAPES.items()]
    assert found == [
        ("qwen3-30b-a3b", 128, 768, 8),
        ("mixtral-8x7b", 8, 14336, 2),
        ("gpt-oss-20b-like", 32, 2880, 4),
        ("deepseek-v2-lite", 64, 1408, 6),
    ]
    assert shapes.get("deepseek-v2-lite", 2).inter == 704


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="known shapes: qwen3-30b-a3b, mixtral-8x7b"):
        shapes.get("mixtral")
    with pytest.raises(UsageError, match="width 768, which 7 ranks cannot share"):
        shapes.get("qwen3-30b-a3b", 7)


@pytest.mark.parametrize("law", ["skewed", "uniform"])
def test_a_token_goes_to_different_experts(law: str) -> None:
    ids = Routing(law).draw(300, 64, 6)  # type: ignore[arg-type]
    assert ids.shape == (300, 6)
    assert ids.dtype == np.int32
    assert all(len(set(row)) == 6 for row in ids.tolist())
    assert ids.min() >= 0
    assert ids.max() < 64


def test_draws_are_seeded_and_differ() -> None:
    routing = Routing(seed=3)
    assert (routing.draw(50, 64, 6, 1) == routing.draw(50, 64, 6, 1)).all()
    assert (routing.draw(50, 64, 6, 1) != routing.draw(50, 64, 6, 2)).any()
    assert (routing.draw(50, 64, 6, 1) != Routing(seed=4).draw(50, 64, 6, 1)).any()


def mean_busiest(routing: Routing, experts: int, top_k: int) -> float:
    return float(np.mean([busiest(routing.draw(2048, experts, top_k, number), experts) for number in range(12)]))


def test_skew_is_as_stated() -> None:
    """About twice the mean of 8 experts and four times that of 128; uniform routing is flat but for chance."""
    assert 1.5 < mean_busiest(Routing(), 8, 1) < 2.5
    assert 3.0 < mean_busiest(Routing(), 128, 8) < 5.0
    assert mean_busiest(Routing("uniform"), 128, 8) < 1.3


def test_skewed_batches_touch_fewer_experts() -> None:
    skewed, flat = (np.mean([touched(Routing(law).draw(32, 128, 8, n)) for n in range(20)]) for law in LAWS)
    assert skewed < flat
    assert flat == pytest.approx(128 * (1 - (1 - 8 / 128) ** 32), abs=2)


LAWS = ("skewed", "uniform")


def test_more_experts_than_there_are() -> None:
    with pytest.raises(UsageError, match="cannot go to 9 of 8"):
        Routing().draw(1, 8, 9)


def test_the_roofline_of_a_decode_batch_is_its_weights() -> None:
    """All 128 experts of a layer are 1.2 GB, 403 us at 3.0 TB/s; 256 tokens are little beside that."""
    floor = roofline.floor(QWEN, 256, 128, H100)
    assert floor.weights == 128 * 3 * 768 * 2048 * 2
    assert floor.bound == "memory"
    assert floor.seconds == pytest.approx(403e-6, rel=0.01)
    assert floor.headroom(553e-6) == pytest.approx(1.37, abs=0.01)


def test_the_roofline_of_a_prefill_is_its_products() -> None:
    floor = roofline.floor(QWEN, 16384, 128, H100)
    assert floor.flops == 16384 * 8 * 6 * 768 * 2048
    assert floor.bound == "compute"
    assert floor.seconds == pytest.approx(floor.flops / 790e12, rel=0.01)


def test_peaks_are_what_cards_were_seen_to_reach() -> None:
    assert H100.bandwidth == pytest.approx(3.0e12, rel=0.01)
    assert H100.flops == pytest.approx(790e12, rel=0.01)
    h200 = roofline.Peaks.reachable("NVIDIA H200")
    assert h200 is not None
    assert h200.bandwidth == pytest.approx(4.3e12, rel=0.01)
    assert roofline.Peaks.reachable("NVIDIA B200") is None


@pytest.mark.parametrize(("tokens", "count"), [(1, 9), (1, 7), (100, 129), (0, 0)])
def test_impossible_batches_have_no_roofline(tokens: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot touch"):
        roofline.floor(QWEN, tokens, count, H100)


def test_no_headroom_over_a_time_that_is_none() -> None:
    with pytest.raises(ValueError, match="cannot take"):
        roofline.floor(QWEN, 1, 8, H100).headroom(0.0)
    assert math.isfinite(roofline.floor(QWEN, 1, 8, H100).headroom(1.0))
