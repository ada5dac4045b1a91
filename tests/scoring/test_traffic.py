"""Timed outputs: the first divergence counts, at the baseline's margin; a recognised probe set is found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes_records import SCENARIO

from fk_overlay.scoring.traffic import Divergence, divergences, excess, failures, unaccounted


def request(number: int, tokens: list[int], **other: Any) -> dict[str, Any]:
    return {"launch": "l", "workload": "w", "request": number, "tokens": tokens, "error": None, **other}


FORCED = {"request": 0, "tokens": [1, 2, 3, 4], "margins": [3.0, 0.2, 4.0, 5.0]}


@pytest.mark.parametrize(
    ("output", "position", "margin"),
    [([1, 2, 3, 4], 4, None), ([1, 9, 9, 9], 1, 0.2), ([1, 2, 9, 4], 2, 4.0), ([9, 2, 3, 4], 0, 3.0)],
)
def test_the_first_divergence_and_its_margin(output: list[int], position: int, margin: float | None) -> None:
    (found,) = divergences([request(0, output)], [request(0, [1, 2, 3, 4])], [FORCED], "w")
    assert (found.position, found.margin, found.happened) == (position, margin, position < 4)


def test_a_baseline_that_went_the_same_way_excuses_and_leaves_the_margin_unknown() -> None:
    said = [request(0, [1, 2, 3, 4]), request(0, [1, 9, 9, 9])]
    followed, parted = divergences([request(0, [1, 9, 9, 9]), request(0, [1, 9, 9, 7])], said, [FORCED], "w")
    assert (followed.happened, parted.happened) == (True, False)
    assert (followed.position, followed.margin) == (3, None)


def test_requests_that_the_baseline_never_answered_and_failed_ones_are_not_compared() -> None:
    ours = [request(5, [1]), request(0, [7], error="HTTP 500")]
    assert divergences(ours, [request(0, [1])], [], "w") == []


def test_margins_belong_to_the_headline_workload() -> None:
    (found,) = divergences([request(0, [9], workload="v")], [request(0, [1], workload="v")], [FORCED], "w")
    assert (found.happened, found.margin) == (True, None)


def parted(number: int, position: int, length: int = 100) -> Divergence:
    return Divergence("w", number, position, length, None)


def test_equal_rates_are_no_excess() -> None:
    found = [parted(number, 50 if number % 2 else 100) for number in range(40)]
    chance = excess(found, "w", forced=set(range(8)))
    assert chance is not None
    assert chance > 0.2


def test_a_kernel_that_behaves_only_on_the_forced_requests_is_found_out() -> None:
    found = [parted(number, 100 if number < 8 else 5) for number in range(40)]
    chance = excess(found, "w", forced=set(range(8)))
    assert chance is not None
    assert chance < 1e-6


def test_repeating_a_request_adds_no_evidence() -> None:
    found = [parted(number, 50 if number in (3, 20) else 100) for number in range(40)]
    assert excess(found * 5, "w", {*range(8)}) == excess(found, "w", {*range(8)})


@pytest.mark.parametrize("forced", [set(), set(range(4))])
def test_nothing_to_compare(forced: set[int]) -> None:
    assert excess([parted(number, 5) for number in range(4)], "w", forced) is None
    assert excess([parted(number, 100) for number in range(4)], "w", {0}) is None


def test_golden_excess() -> None:
    """Three divergences, all outside, where outside is 3 * 50 of 350 followed tokens: (3/7)^3."""
    found = [parted(0, 100), parted(1, 100), parted(2, 49), parted(3, 49), parted(4, 49)]
    assert excess(found, "w", {0, 1}) == pytest.approx((3 / 7) ** 3)


def test_failed_and_short_requests_are_named() -> None:
    ours = [request(0, [1] * 48, workload="chat-c32"), request(1, [1] * 40, workload="chat-c32")]
    ours.append(request(2, [], workload="chat-c32", error="connection reset"))
    assert failures(ours, [], SCENARIO) == [
        "request 1 of chat-c32 in launch l returned 40 of 48 tokens",
        "request 2 of chat-c32 in launch l failed: connection reset",
    ]


def test_lengths_that_vary_are_held_against_the_baseline() -> None:
    varied = replace(SCENARIO, workloads=tuple(replace(each, range_ratio=0.3) for each in SCENARIO.workloads))
    ours = [request(0, [1] * 40, workload="chat-c32"), request(1, [1] * 40, workload="chat-c32")]
    theirs = [request(0, [1] * 40, workload="chat-c32"), request(1, [1] * 41, workload="chat-c32")]
    assert failures(ours, theirs, varied) == ["request 1 of chat-c32 in launch l returned 40 of 41 tokens"]


def test_tokens_that_nobody_asked_for_are_a_failure_too() -> None:
    more = [request(1, [7] * 50, workload="chat-c32")]
    assert failures(more, more, SCENARIO) == ["request 1 of chat-c32 in launch l returned 50 of 48 tokens"]


def answered(*numbers: int) -> list[dict[str, Any]]:
    return [{**request(number, [1], workload="chat-open"), "pass": 0} for number in numbers]


def test_a_pass_holds_exactly_the_requests_that_were_sent() -> None:
    assert unaccounted(answered(*range(16)), SCENARIO) == []
    assert unaccounted(answered(*range(15)), SCENARIO) == [
        "pass 0 of chat-open in launch l holds 15 of the 16 requests sent"
    ]
    assert unaccounted(answered(*range(1, 17)), SCENARIO) == [
        "pass 0 of chat-open in launch l holds 15 of the 16 requests sent and 1 that nobody sent"
    ]
