"""What makes a comparison unbelievable."""

from __future__ import annotations

from typing import Any

from fakes_records import CONFIG, SCENARIO, Change, Story, records, set_

from fk_overlay.core import BASELINE, CONTROL, Effect
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.scoring.validity import config_difference, contract_errors, invalid, settings

ARM = "fused-norm"


def evidence(*changes: Change, **story: Any) -> Evidence:
    return Evidence.of(records(Story(restarts=2, **story).but(*changes)))


def test_a_quiet_run_is_valid() -> None:
    assert invalid(evidence(), ARM, SCENARIO, None) == []
    assert contract_errors(evidence(), ARM) == []


def test_settings_are_flattened() -> None:
    assert settings({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}


def test_a_failed_baseline_launch() -> None:
    found = invalid(
        evidence(set_("launch", {"state": "hung", "reason": "no answer in 600 s"}, launch="03-baseline")),
        ARM,
        SCENARIO,
        None,
    )
    assert found == ["baseline launch 03-baseline hung: no answer in 600 s"]


def test_failed_baseline_requests() -> None:
    found = invalid(
        evidence(set_("request", {"error": "HTTP 500"}, launch="03-baseline", request=2)), ARM, SCENARIO, None
    )
    assert found == [
        "the baseline failed 4 of 160 requests, the first: request 2 of chat-c32 in launch 03-baseline failed: HTTP 500"
    ]


def test_unequal_settings_are_listed_baseline_first() -> None:
    other = {**CONFIG, "cache": {"block_size": 32, "prefix_caching": False}, "eager": True}
    unequal = evidence(set_("launch", {"config": other}, launch="01-fused-norm"))
    assert config_difference(unequal, ARM) == {"cache.block_size": (16, 32), "eager": ("absent", True)}
    assert invalid(unequal, ARM, SCENARIO, None) == [
        "the engine's resolved settings are not the same in every launch: cache.block_size (16 / 32), "
        "eager (absent / True)"
    ]


def test_a_long_list_is_cut() -> None:
    other = {f"key{number}": number for number in range(9)}
    (found,) = invalid(evidence(set_("launch", {"config": {**CONFIG, **other}}, arm=ARM)), ARM, SCENARIO, None)
    assert found.endswith("key4 (absent / 4) and 4 more")


def test_a_patched_baseline() -> None:
    found = invalid(evidence(set_("receipt", {"task": "rms_norm"}, launch="00-baseline", rank=0)), ARM, SCENARIO, None)
    assert found == ["baseline launch 00-baseline ran a patch for rms_norm"]


def test_a_selftest_must_contain_one() -> None:
    def effect(low: float, high: float) -> Effect:
        return Effect("chat-c32", "output_throughput", 1.002, low, high, 5, 0.001, "neutral")

    selftest = evidence(selftest=True)
    assert invalid(selftest, CONTROL, SCENARIO, effect(0.999, 1.004)) == []
    (found,) = invalid(selftest, CONTROL, SCENARIO, effect(1.001, 1.003))
    assert "not fit to judge" in found
    assert invalid(evidence(), ARM, SCENARIO, effect(1.001, 1.003)) == []


def test_contract_errors_come_from_receipts_and_from_launches_once() -> None:
    error = "ContractError: RMSNorm.forward_cuda has another signature"
    both = evidence(
        set_("receipt", {"errors": [error]}, arm=ARM), set_("launch", {"state": "crashed", "reason": error}, arm=ARM)
    )
    assert contract_errors(both, ARM) == ["RMSNorm.forward_cuda has another signature"]
    assert contract_errors(both, BASELINE) == []
