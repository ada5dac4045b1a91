"""Memory, KV blocks and load time, candidate over baseline."""

from __future__ import annotations

import pytest
from fakes_records import SCENARIO, Story, records, set_

from fk_overlay.core import BASELINE, Effect, Limits, Merit
from fk_overlay.scoring.costs import costs, over_limits, slow_load, traded
from fk_overlay.scoring.evidence import Evidence

ARM = "fused-norm"


def test_ratios_of_medians_over_timed_launches() -> None:
    one_slow = set_("launch", {"load_s": 500.0}, launch="05-fused-norm")
    fixed = [
        set_("launch", {"load_s": load, "peak_gpu_bytes": load * 1e9}, arm=arm)
        for arm, load in ((ARM, 60.0), (BASELINE, 40.0))
    ]
    found = costs(Evidence.of(records(Story().but(*fixed, one_slow))), ARM)
    assert found["load_time_ratio"] == found["gpu_memory_ratio"] == 1.5
    assert found["kv_blocks_ratio"] == pytest.approx(27020 / 27150)


def test_what_was_not_recorded_has_no_ratio() -> None:
    found = costs(
        Evidence.of(records(Story(restarts=2).but(set_("launch", {"peak_gpu_bytes": None, "kv_blocks": 0})))), ARM
    )
    assert found.keys() == {"host_memory_ratio", "load_time_ratio"}


def test_limits() -> None:
    limits = Limits(memory_ratio=1.5, kv_blocks_ratio=0.95)
    assert over_limits({"gpu_memory_ratio": 1.5, "kv_blocks_ratio": 0.95, "load_time_ratio": 9.0}, limits) == []
    assert over_limits({"gpu_memory_ratio": 1.6, "host_memory_ratio": 2.0, "kv_blocks_ratio": 0.9}, limits) == [
        "peak GPU memory is 1.60 times the baseline's; the limit is 1.50",
        "peak host memory is 2.00 times the baseline's; the limit is 1.50",
        "90.0 % of the baseline's KV blocks are left; the limit is 95.0 %",
    ]


@pytest.mark.parametrize(("seconds", "slow"), [(400.0, True), (100.0, False)])
def test_a_load_that_takes_too_long(seconds: float, slow: bool) -> None:
    evidence = Evidence.of(records(Story(restarts=2).but(set_("launch", {"load_s": seconds}, arm=ARM))))
    assert bool(slow_load(evidence, ARM, Limits(load_time_ratio=3.0))) == slow


def test_one_slow_load_of_several_is_the_hosts() -> None:
    one_slow = set_("launch", {"load_s": 500.0}, launch="01-fused-norm")
    evidence = Evidence.of(records(Story(restarts=2).but(set_("launch", {"load_s": 40.0}), one_slow)))
    assert {launch["load_s"] for launch in evidence.launches_of(ARM, ok=True, purpose="timed")} == {40.0, 500.0}
    assert slow_load(evidence, ARM, Limits()) == []


def test_a_load_of_seconds_is_nobodys_concern() -> None:
    fixed = [set_("launch", {"load_s": load}, arm=arm) for arm, load in ((ARM, 9.0), (BASELINE, 0.1))]
    assert slow_load(Evidence.of(records(Story(restarts=2).but(*fixed))), ARM, Limits()) == []


@pytest.mark.parametrize(
    ("workload", "metric", "merit", "said"),
    [
        ("chat-c32", "goodput", "regressed", True),
        ("chat-c32", "goodput", "unresolved", False),
        ("chat-c32", "ttft_p95", "regressed", False),
        ("chat-open", "goodput", "regressed", False),
    ],
)
def test_throughput_that_was_bought_with_latency(workload: str, metric: str, merit: Merit, said: bool) -> None:
    effect = Effect(workload, metric, 0.8, 0.7, 0.9, 5, 0.01, merit)
    assert bool(traded([effect], SCENARIO)) == said
