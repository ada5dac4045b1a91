"""The elementwise rule: a share within bound, a cap for the rest, NaN and infinity only where the oracle has them."""

import pytest
import torch
from torch import Tensor

from fk_overlay.core import Tolerance
from fk_overlay.integrity.elementwise import agree

TOLERANCE = Tolerance(rtol=0.01, atol=0.001, ratio=0.99, cap=10.0)
REFERENCE = torch.linspace(-4, 4, 1000, dtype=torch.float64)


def changed(count: int, bounds: float) -> Tensor:
    """REFERENCE with ``count`` elements off by so many times their bound."""
    out = REFERENCE.clone()
    out[:count] += bounds * (TOLERANCE.atol + TOLERANCE.rtol * REFERENCE[:count].abs())
    return out


@pytest.mark.parametrize(
    ("count", "bounds", "agrees"),
    [(0, 0.0, True), (1000, 0.99, True), (10, 9.9, True), (11, 1.1, False), (1, 10.1, False), (1, -10.1, False)],
)
def test_share_and_cap(count: int, bounds: float, agrees: bool) -> None:
    agreement = agree(changed(count, bounds), REFERENCE, TOLERANCE)
    assert agreement.agrees == agrees, agreement.reason
    assert agreement.worst == pytest.approx(abs(bounds) if count else 0, rel=1e-6)


def test_the_reason_tells_cap_from_share() -> None:
    assert "10.1 times its bound" in agree(changed(1, 10.1), REFERENCE, TOLERANCE).reason
    assert "98.9000% of the elements" in agree(changed(11, 1.1), REFERENCE, TOLERANCE).reason


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
def test_special_values_agree_with_themselves_only(special: float) -> None:
    marked = REFERENCE.clone()
    marked[7] = special
    assert agree(marked, marked, TOLERANCE).agrees
    assert not agree(REFERENCE, marked, TOLERANCE).agrees
    assert not agree(marked, REFERENCE, TOLERANCE).agrees
    assert not agree(marked, torch.where(marked == special, -marked, marked), TOLERANCE).agrees or marked[7].isnan()


def test_a_finite_number_does_not_pass_for_infinity_at_any_tolerance() -> None:
    loose = Tolerance(rtol=1.0, atol=1e300, cap=1e300)
    assert not agree(torch.tensor([1e38]), torch.tensor([torch.inf]), loose).agrees


def test_exact_tolerances_ask_for_equality() -> None:
    exact = Tolerance(rtol=0, atol=0)
    assert agree(REFERENCE, REFERENCE, exact).agrees
    assert not agree(REFERENCE, REFERENCE + 1e-15, exact).agrees


def test_integers_must_be_equal_whatever_the_tolerance() -> None:
    ids = torch.arange(1000)
    assert agree(ids.int(), ids, TOLERANCE).agrees
    wrong = ids.clone()
    wrong[999] = 998
    assert agree(wrong, ids, TOLERANCE).reason == "1 of 1000 integers differ"


def test_shapes_and_kinds_must_match() -> None:
    assert "shape (2, 500)" in agree(REFERENCE.reshape(2, 500), REFERENCE, TOLERANCE).reason
    assert "dtype torch.int64" in agree(REFERENCE.long(), REFERENCE, TOLERANCE).reason


def test_low_precision_is_judged_in_high_precision() -> None:
    half = REFERENCE.bfloat16()
    assert agree(half, REFERENCE, Tolerance(rtol=2**-8, atol=1e-6)).agrees
    assert not agree(half, REFERENCE, Tolerance(rtol=2**-10, atol=1e-6)).agrees


def test_nothing_agrees_with_nothing() -> None:
    assert agree(torch.empty(0, 3), torch.empty(0, 3), TOLERANCE).agrees
