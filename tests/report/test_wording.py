"""Numbers, metrics and claims as people read them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fk_overlay.core import CONTROL, EXIT_CODES, Effect, Verdict
from fk_overlay.report.wording import CLAIMS, STATES, change, claim, gib, metric, number, percent, share, span

EFFECT = Effect("w", "output_throughput", 1.083, 0.995, 1.094, 5, 0.01, "unresolved")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"),
        (math.inf, "not finite"),
        (0.0, "0"),
        (24.0, "24"),
        (3178.4, "3,178"),
        (412.34, "412.3"),
        (66.214, "66.21"),
        (9.4191, "9.419"),
        (0.0048, "0.0048"),
        (1_234_567.0, "1,234,567"),
    ],
)
def test_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_changes_carry_their_sign() -> None:
    assert (percent(0.083), percent(-0.0123, 2)) == ("+8.3 %", "\u22121.23 %")
    assert (change(EFFECT), span(EFFECT)) == ("+8.3 %", "\u22120.5 % to +9.4 %")
    assert span(replace(EFFECT, low=1.994, high=4.243)) == "+99.4 % to +324 %"
    assert (change(None), span(None), span(replace(EFFECT, pairs=1))) == ("\u2013",) * 3


def test_units() -> None:
    assert (share(0.98534, 2), share(None), gib(2**31), gib(None)) == ("98.53 %", "\u2013", "2.0", "\u2013")


def test_metric_names() -> None:
    names = ["ttft_p95", "e2e_p50", "output_throughput", "goodput"]
    assert [metric(name) for name in names] == ["TTFT p95", "E2E latency p50", "output throughput", "goodput"]


def test_every_state_has_a_name_and_a_claim() -> None:
    assert STATES.keys() == CLAIMS.keys() == EXIT_CODES.keys()


def test_claims() -> None:
    improved = Verdict("fast", "improved", None, EFFECT)
    assert claim(improved) == "fast is faster: +8.3 % output throughput"
    assert claim(replace(improved, override="not_engaged")) == "fast did not run where it should"
    assert claim(Verdict("fast", "unresolved", None, None)) == "fast is not decided yet: too few restart pairs"
    assert claim(replace(improved, arm=CONTROL, merit="neutral")).startswith("This host is fit to judge")
