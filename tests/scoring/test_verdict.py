"""Every state a run can end in, from records alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes_records import CONFIG, SCENARIO, TOKENS, Change, Story, drop, records, set_, where

from fk_overlay.core import BASELINE, Limits, Sampling, Scenario, Verdict
from fk_overlay.scoring.correct import examine
from fk_overlay.scoring.envelope import calibrate
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.scoring.verdict import judge

ARM = "fused-norm"
CRASH = set_("launch", {"state": "crashed", "reason": "CUDA error: an illegal memory access"}, launch="02-fused-norm")
CONTRACT = set_("receipt", {"errors": ["ContractError: the body of RMSNorm.forward_cuda changed"]}, arm=ARM)
UNEQUAL = set_("launch", {"config": {**CONFIG, "dtype": "float16"}}, arm=ARM)
IDLE = set_("receipt", {"calls_eager": 0, "calls_captured": 0, "replays": 0}, arm=ARM, task="rms_norm")
HUNGRY = set_("launch", {"peak_rss_bytes": 12e9}, arm=ARM)


def verdict(story: Story) -> Verdict:
    (found,) = judge(records(story), story.scenario)
    return found


def flip(record: dict[str, Any]) -> dict[str, Any]:
    """The token of which the baseline is surest comes out differently in a forced decode."""
    sure = max(range(TOKENS), key=lambda position: record["margins"][position])
    return {**record, "top1": [token + (at == sure) for at, token in enumerate(record["top1"])]}


def wrong(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "tokens": [7] * TOKENS}


OPEN_WRONG = where("request", arm=ARM, workload="chat-open")(wrong)
DRAWN = replace(SCENARIO, workloads=(SCENARIO.workloads[0], replace(SCENARIO.workloads[1], sampling=Sampling(0.8))))
STATES = {
    "improved": (Story(), "improved"),
    "regressed": (Story(speedup=0.9), "regressed"),
    "neutral": (Story(speedup=1.0, restart_sd=0.001, pass_sd=0.001), "neutral"),
    "unresolved": (Story(speedup=1.01, restart_sd=0.012), "unresolved"),
    "contract changed": (Story().but(CONTRACT), "contract_error"),
    "baseline crashed": (Story().but(set_("launch", {"state": "crashed"}, launch="00-baseline")), "invalid"),
    "settings differ": (Story().but(UNEQUAL), "invalid"),
    "never ran": (Story().but(IDLE), "not_engaged"),
    "stopped by the gate": (
        Story().but(set_("launch", {"state": "not_engaged"}, launch="02-fused-norm")),
        "not_engaged",
    ),
    "crashed": (Story().but(CRASH), "incorrect"),
    "wrong everywhere": (Story(patched_noise=3.0), "incorrect"),
    "one sure token flipped": (
        Story().but(where("forced", arm=ARM, launch="02-fused-norm", request=3)(flip)),
        "incorrect",
    ),
    "wrong timed outputs": (Story().but(where("request", arm=ARM)(wrong)), "incorrect"),
    "right only where forced": (
        Story().but(*(where("request", arm=ARM, request=number)(wrong) for number in range(8, 24))),
        "incorrect",
    ),
    "other tokens where they are drawn": (Story(scenario=DRAWN).but(OPEN_WRONG), "improved"),
    "short outputs where they are drawn": (
        Story(scenario=DRAWN).but(set_("request", {"tokens": [1, 2]}, arm=ARM, workload="chat-open")),
        "incorrect",
    ),
    "short outputs": (Story().but(set_("request", {"tokens": [1, 2]}, arm=ARM, request=12)), "incorrect"),
    "baseline beside itself": (Story(noise=5.0, patched_noise=5.0), "uncalibrated"),
    "both beside themselves": (Story(noise=5.0, patched_noise=5.0).but(CRASH), "incorrect"),
    "never forced": (Story().but(drop("forced", arm=ARM)), "uncalibrated"),
    "too much memory": (Story().but(HUNGRY), "resource_regression"),
    "screen of a win": (Story(mode="screen", restarts=2), "unresolved"),
    "screen of a loss": (Story(mode="screen", restarts=2, speedup=0.7, restart_sd=0.001, pass_sd=0.001), "regressed"),
    "screen that never ran": (Story(mode="screen", restarts=2).but(IDLE), "not_engaged"),
    "selftest of a fit host": (Story(selftest=True, speedup=1.0), "unresolved"),
    "selftest of a quiet host": (Story(selftest=True, speedup=1.0, restart_sd=0.001, pass_sd=0.001), "neutral"),
    "selftest of an unfit host": (Story(selftest=True, speedup=1.05), "invalid"),
    "interrupted at once": (Story(stop_after=0), "unresolved"),
    "interrupted after one pair": (Story(stop_after=2), "unresolved"),
    "interrupted after three pairs": (Story(stop_after=6), "improved"),
}


@pytest.mark.parametrize(("story", "state"), STATES.values(), ids=STATES)
def test_state(story: Story, state: str) -> None:
    assert verdict(story).state == state


PRECEDENCE = [("contract_error", CONTRACT), ("invalid", UNEQUAL), ("not_engaged", IDLE), ("incorrect", CRASH)]


@pytest.mark.parametrize("first", range(len(PRECEDENCE)))
def test_overrides_have_an_order_and_all_their_reasons_are_given(first: int) -> None:
    changes: list[Change] = [change for _, change in PRECEDENCE[first:]]
    found = verdict(Story().but(*changes, HUNGRY))
    assert found.override == PRECEDENCE[first][0]
    assert len(found.reasons) >= len(changes) + 2
    absent = "not_engaged" in dict(PRECEDENCE[first:])
    assert found.merit == ("unresolved" if absent else "improved")
    assert (found.effect is None) == (not found.effects) == absent, "what ran without the pack is not the pack's"


def test_a_win_is_told_with_its_figures() -> None:
    found = verdict(Story())
    assert found.effect is not None
    assert found.effect.low < 1.08 < found.effect.high
    assert found.effect.pairs == 5
    assert found.correctness == pytest.approx(0.9986, abs=1e-4)
    assert found.reasons == (
        "output throughput of chat-c32: +8.3 % (95 % interval +7.2 % to +9.4 %, 5 restart pairs; smallest effect that "
        "counts 0.5 %)",
    )
    assert {effect.workload for effect in found.effects} == {"chat-c32", "chat-open"}
    assert found.exit_code == 0


def test_advice_for_the_unresolved() -> None:
    assert verdict(STATES["unresolved"][0]).reasons[-1] == "run 7 more pairs: sd between restarts 1.3 %"


def test_what_the_machine_withheld_is_told_where_nothing_was_resolved() -> None:
    pressed = set_("launch", {"withheld": {"of": 20.0, "waiting": 0.6, "stolen": 0.02}})
    assert verdict(STATES["unresolved"][0].but(pressed)).reasons[-1] == (
        "of the measured time something waited for a processor 3.0 %; "
        "a quieter machine resolves more with as many pairs"
    )
    calm = set_("launch", {"withheld": {"of": 20.0, "waiting": 0.06}})
    assert "quieter" not in " ".join(verdict(STATES["unresolved"][0].but(calm)).reasons)
    assert "quieter" not in " ".join(verdict(STATES["improved"][0].but(pressed)).reasons)


def test_an_interrupted_run_says_how_far_it_came() -> None:
    assert verdict(Story(stop_after=2)).reasons == (
        "1 of 5 planned restart pairs are complete",
        "an interval needs at least 2 complete pairs; run the rest",
    )
    assert verdict(Story(stop_after=6)).reasons[0] == "3 of 5 planned restart pairs are complete"


def test_a_crash_is_told_with_its_reason() -> None:
    assert (
        verdict(Story().but(CRASH)).reasons[0] == "launch 02-fused-norm crashed: CUDA error: an illegal memory access"
    )


def test_a_kernel_that_knows_the_probe_set_is_told_so() -> None:
    found = verdict(STATES["right only where forced"][0])
    assert found.correctness == pytest.approx(0.9986, abs=1e-4)
    assert "the forced decode does not speak for them" in found.reasons[0]


@pytest.mark.parametrize(("scenario", "compared"), [(SCENARIO, {"chat-c32", "chat-open"}), (DRAWN, {"chat-c32"})])
def test_tokens_are_compared_where_they_are_not_drawn(scenario: Scenario, compared: set[str]) -> None:
    evidence = Evidence.of(records(Story(scenario=scenario)))
    finding = examine(evidence, ARM, scenario, calibrate(evidence, scenario.correctness, "chat-c32"))
    assert {divergence.workload for divergence in finding.divergences} == compared


def test_a_single_forced_decode_falls_back_and_says_so() -> None:
    only = where("forced", arm=BASELINE)(
        lambda record: record if (record["launch"], record["variant"]) == ("00-baseline", "same") else None
    )
    found = verdict(Story().but(only))
    assert found.state == "improved"
    assert found.reasons[-1] == "the baseline was not compared with itself; the noise level is the fallback, 0.020"


def test_fallbacks_and_missing_ratios_are_remarked() -> None:
    remarks = verdict(
        Story().but(
            set_("receipt", {"fallbacks": 4485, "refusals": ["odd rows"]}, arm=ARM, task="rms_norm"),
            set_("sample", {"value": 0.0}, arm=ARM, metric="goodput", workload="chat-open"),
        )
    ).reasons[1:]
    assert remarks == (
        "66.7 % of the calls that Python saw were left to the engine's own code (odd rows)",
        "goodput of chat-open is not positive everywhere and has no ratio",
    )


def test_limits_are_the_scenarios() -> None:
    generous = replace(SCENARIO, limits=Limits(memory_ratio=3.0))
    assert verdict(Story(scenario=generous).but(HUNGRY)).state == "improved"


def test_more_noise_between_restarts_never_narrows_the_interval() -> None:
    spans = []
    for sd in (0.002, 0.004, 0.008, 0.016):
        effect = verdict(Story(restarts=3, restart_sd=sd, pass_sd=0.0)).effect
        assert effect is not None
        spans.append(effect.high / effect.low)
    assert spans == sorted(spans)
