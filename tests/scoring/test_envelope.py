"""How far the baseline differs from itself, with floor, fallback and cap."""

from __future__ import annotations

from typing import Any

import pytest
from fakes_records import Story, drop, records, set_
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.core import BASELINE, Correctness
from fk_overlay.scoring.envelope import MARGIN_FLOOR, Envelope, calibrate
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.scoring.forced import Discrepancy

RULES = Correctness()


def forced(launch: str, top1: list[int], variant: str = "same", **other: Any) -> dict[str, Any]:
    record = {
        "kind": "forced",
        "launch": launch,
        "arm": BASELINE,
        "variant": variant,
        "request": 0,
        "tokens": [1, 2, 3, 4],
    }
    return {**record, "top1": top1, "logprobs": [-0.1] * 4, "margins": [0.1, 0.9, 2.0, 3.0], **other}


def envelope_of(*forced_records: dict[str, Any]) -> Envelope:
    launches = dict.fromkeys(record["launch"] for record in forced_records)
    closed = [{"kind": "launch", "launch": name, "arm": BASELINE, "state": "ok"} for name in launches]
    return calibrate(Evidence.of([{"kind": "run", "arms": []}, *closed, *forced_records]), RULES, "w")


def test_one_decode_gives_the_fallback() -> None:
    found = envelope_of(forced("a", [1, 2, 3, 4]))
    assert (found.top1, found.drift, found.margin) == (RULES.fallback, RULES.fallback, MARGIN_FLOOR)
    assert found.agreement is None
    assert found.calibrated


def test_a_baseline_that_repeats_itself_to_the_bit_says_nothing_of_rounding() -> None:
    found = envelope_of(forced("a", [1, 2, 3, 4]), forced("b", [1, 2, 3, 4]))
    assert (found.top1, found.drift) == (RULES.fallback, RULES.fallback)
    assert (found.margin, found.agreement) == (MARGIN_FLOOR, 1.0)


def test_the_least_noise_of_a_baseline_that_varies_is_the_floor() -> None:
    found = envelope_of(forced("a", [1, 2, 3, 4]), forced("b", [1, 2, 3, 4], logprobs=[-0.1, -0.1, -0.1, -0.1001]))
    assert (found.top1, found.drift) == (RULES.floor, RULES.floor)


def test_batch_composition_in_one_launch_counts() -> None:
    found = envelope_of(forced("a", [1, 2, 3, 4]), forced("a", [1, 9, 3, 4], "half", margins=[0.1, 0.7, 2.0, 3.0]))
    assert (found.top1, found.agreement, found.margin) == (0.25, 0.75, 0.9)


def test_the_noise_level_is_the_95_percent_quantile_of_every_two_decodes() -> None:
    found = envelope_of(*(forced(name, [1, 9 if name == "c" else 2, 3, 4]) for name in "abc"))
    assert sorted(item.top1 for item in found.items) == [0.0, 0.25, 0.25]
    assert found.top1 == pytest.approx(0.25)


def test_a_baseline_beside_itself_is_capped_and_uncalibrated() -> None:
    found = envelope_of(forced("a", [1, 2, 3, 4]), forced("b", [9, 9, 9, 4]))
    assert (found.top1, found.agreement, found.calibrated) == (RULES.cap, 0.25, False)


def test_what_the_baseline_does_on_timed_traffic_widens_the_margin() -> None:
    """Request 0 leaves at a token of known margin in one baseline launch; forced decodes never flip."""
    story = Story(noise=0.0, patched_noise=0.0, restarts=2)
    steady = calibrate(Evidence.of(records(story)), RULES, "chat-c32")
    assert steady.margin == MARGIN_FLOOR
    margins = next(record["margins"] for record in records(story) if record["kind"] == "forced")
    sure = max(range(48), key=lambda position: margins[position])

    def leave(record: dict[str, Any]) -> dict[str, Any]:
        hit = record["kind"] == "request" and record["launch"] == "00-baseline" and record["workload"] == "chat-c32"
        if not hit or record["request"] != 0:
            return record
        return {**record, "tokens": [*record["tokens"][:sure], 1, *record["tokens"][sure + 1 :]]}

    assert calibrate(Evidence.of(records(story.but(leave))), RULES, "chat-c32").margin == pytest.approx(margins[sure])


def test_failed_launches_calibrate_nothing() -> None:
    crashed = set_("launch", {"state": "crashed"}, arm=BASELINE)
    assert calibrate(Evidence.of(records(Story(restarts=2).but(crashed))), RULES, "chat-c32").agreement is None
    assert calibrate(Evidence.of(records(Story(restarts=2).but(drop("forced")))), RULES, "chat-c32").items == ()


def test_correctness_is_the_worse_quantity_and_a_mean_over_requests() -> None:
    envelope = Envelope(top1=0.1, drift=0.1, margin=0.5, cliff=0.5, cap=0.5, agreement=1.0)
    right, half, wrong = (Discrepancy(at, "a", "b", 4, 0.0, drift, ()) for at, drift in ((0, 0.0), (0, 0.3), (1, 0.5)))
    assert [envelope.correctness(item) for item in (right, half, wrong)] == pytest.approx([1.0, 0.5, 0.0])
    assert envelope.mean_correctness([right, half, wrong]) == pytest.approx(0.375)
    assert envelope.mean_correctness([]) is None


@given(st.floats(0.001, 0.5), st.floats(0.0, 1.0), st.floats(1.0, 4.0))
def test_a_louder_envelope_never_condemns(noise: float, discrepancy: float, factor: float) -> None:
    envelope = Envelope(top1=noise, drift=noise, margin=0.5, cliff=0.5, cap=0.5, agreement=None)
    item = Discrepancy(0, "a", "b", 4, discrepancy, discrepancy, ())
    assert envelope.scaled(factor).correctness(item) >= envelope.correctness(item) - 1e-12
