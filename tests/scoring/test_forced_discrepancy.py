"""Two forced decodes of the same tokens: what differs, and how wrong that is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.scoring.forced import Flip, against, compare, item_correctness

shares = st.floats(0.0, 1.0)


def forced(launch: str, **other: Any) -> dict[str, Any]:
    record = {"launch": launch, "request": 3, "tokens": [1, 2, 3, 4], "top1": [1, 2, 3, 4]}
    return {**record, "logprobs": [-0.1, -0.2, -0.3, -0.4], "margins": [2.0, 0.1, 0.3, 5.0], **other}


def test_golden_discrepancy() -> None:
    found = compare(forced("a"), forced("b", top1=[1, 9, 3, 4], logprobs=[-0.1, -0.6, -0.3, -0.4]))
    assert (found.request, found.reference, found.launch, found.tokens) == (3, "a", "b", 4)
    assert found.top1 == 0.25
    assert found.drift == pytest.approx(0.1)
    assert found.flips == (Flip(1, 0.1),)


@pytest.mark.parametrize("broken", [math.nan, -math.inf, None])
def test_a_broken_logprob_is_an_endless_drift(broken: float | None) -> None:
    assert compare(forced("a"), forced("b", logprobs=[-0.1, broken, -0.3, -0.4])).drift == math.inf


def test_two_impossible_tokens_do_not_drift() -> None:
    impossible = [-0.1, -math.inf, -0.3, -0.4]
    assert compare(forced("a", logprobs=impossible), forced("b", logprobs=impossible)).drift == 0


@pytest.mark.parametrize("other", [{"tokens": [1, 2, 3, 5]}, {"request": 4}, {"launch": "a"}])
def test_only_the_same_tokens_of_the_same_request_compare(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="same tokens"):
        compare(forced("a"), {**forced("b"), **other})


def test_every_launch_is_held_against_every_reference_of_its_batch_composition() -> None:
    references = [forced("a", variant="same"), forced("b", variant="same"), forced("b", variant="half")]
    pairs = [(found.reference, found.launch) for found in against(references, [forced("c", variant="same")])]
    assert pairs == [("a", "c"), ("b", "c")]


def test_golden_correctness() -> None:
    assert item_correctness(0.02, 0.02, 0.5) == 1
    assert item_correctness(0.26, 0.02, 0.5) == pytest.approx(0.5)
    assert item_correctness(0.5, 0.02, 0.5) == 0
    assert item_correctness(math.inf, 0.02, 0.5) == 0
    assert (item_correctness(0.5, 0.5, 0.5), item_correctness(0.51, 0.5, 0.5)) == (1, 0)


@given(shares, shares, st.floats(0.001, 0.5))
def test_correctness_is_a_share_and_falls_with_the_discrepancy(one: float, other: float, noise: float) -> None:
    near, far = sorted((one, other))
    assert 0 <= item_correctness(far, noise, 0.5) <= item_correctness(near, noise, 0.5) <= 1


@given(shares, st.floats(0.001, 0.4), st.floats(1.0, 3.0))
def test_more_noise_never_condemns(discrepancy: float, noise: float, factor: float) -> None:
    louder = item_correctness(discrepancy, min(0.5, factor * noise), 0.5)
    assert louder >= item_correctness(discrepancy, noise, 0.5) - 1e-12
