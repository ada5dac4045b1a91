"""What one launch does with its session, and what it leaves on record."""

from dataclasses import replace
from typing import Any

import pytest
from fakes.engine import CALLS, TOKENS_PER_S, FakeSession, Manner, said

from fk_overlay.core import Design, Workload

HEADLINE = Workload("chat", requests=4, input_len=8, output_len=16, concurrency=4)
LATENCY = Workload("latency", requests=1, input_len=8, output_len=8, concurrency=1)
OPEN = Workload("open", requests=30, input_len=8, output_len=16, loop="open", load=0.7)


def sessions(work: Any) -> dict[str, FakeSession]:
    return {session.launch.name: session for session in work.engine.sessions}


def test_a_baseline_warms_up_runs_its_passes_and_is_forced_twice(work: Any) -> None:
    work.workloads, work.design = (OPEN, LATENCY, HEADLINE), Design(2, 2)
    work.scenario = lambda make=work.scenario: replace(make(), headline="chat")
    work.run()
    one_pass = [("chat", 4), ("latency", 1), ("open", 1)]
    runs = {name: [(run[0], run[3]) for run in session.runs] for name, session in sessions(work).items()}
    assert runs["00-baseline"] == [("chat", 4), *one_pass, *one_pass, ("chat", 4), ("chat", 2)]
    assert runs["01-fast"] == [("chat", 4), *one_pass, *one_pass, ("chat", 4)]
    assert {record["variant"] for record in work.records("forced", arm="baseline")} == {"same", "half"}
    assert {record["variant"] for record in work.records("forced", arm="fast")} == {"same"}


def test_a_gpu_that_throttles_is_warmed_up_by_whole_passes(work: Any) -> None:
    work.warm_up_passes = 2
    work.run()
    for session in work.engine.sessions:
        short, first, second, measured = (requests for _, requests, *_ in session.runs[:4])
        assert len(short) == HEADLINE.concurrency
        assert [request.output_len for request in first] == [request.output_len for request in measured]
        prompts = [{request.prompt for request in load} for load in (short, first, second, measured)]
        assert len(set().union(*prompts)) == sum(map(len, prompts))


def test_every_launch_gets_the_same_load_and_the_warm_up_shares_no_prompt_with_it(work: Any) -> None:
    work.workloads = (HEADLINE, LATENCY)
    work.run()
    loads = [[run[1] for run in session.runs[1:3]] for session in work.engine.sessions]
    assert loads == [loads[0]] * 6
    warm_up = {request.prompt for request in work.engine.sessions[0].runs[0][1]}
    assert len(warm_up) == HEADLINE.concurrency
    assert warm_up.isdisjoint(request.prompt for load in loads[0] for request in load)


def test_every_launch_is_forced_to_say_what_the_first_baseline_said(work: Any) -> None:
    work.run()
    for session in work.engine.sessions:
        forced = session.runs[2][1]
        headline = session.runs[1][1]
        assert [request.forced for request in forced] == [said(request) for request in headline[:2]]
        assert {request.logprobs for request in forced} == {2}


def test_an_open_loop_runs_at_its_share_of_the_baselines_saturation(work: Any) -> None:
    work.workloads = (HEADLINE, OPEN)
    work.run(baseline=Manner(sd=0.0), fast=Manner(speed=3.0))
    (saturation,) = work.records("saturation")
    assert saturation["requests_per_s"] == pytest.approx(TOKENS_PER_S / HEADLINE.output_len)
    schedules = [list(run[2]) for session in work.engine.sessions for run in session.runs if run[2] is not None]
    assert schedules == [schedules[0]] * 6
    assert len(schedules[0]) / schedules[0][-1] == pytest.approx(0.7 * saturation["requests_per_s"])
    assert all(run[2] is None for session in work.engine.sessions for run in session.runs if run[0] == "chat")


def test_calls_before_the_load_are_not_counted_as_calls_under_it(work: Any) -> None:
    work.run()
    (receipt,) = work.records("receipt", launch="01-fast", rank=0)
    assert receipt["task"] == "norm"
    assert receipt["calls_eager"] == 3 * CALLS, "warm-up, one pass, one forced decode"
    assert receipt["calls_in_passes"] == 2 * CALLS


def test_the_passes_speed_is_tokens_over_the_sessions_time(work: Any) -> None:
    work.run(fast=Manner(speed=1.5, sd=0.0))
    (sample,) = work.records("sample", launch="01-fast", metric="output_throughput")
    assert sample["value"] == pytest.approx(1.5 * TOKENS_PER_S)


def test_a_request_is_recorded_with_what_it_said(work: Any) -> None:
    work.run()
    found = work.records("request", launch="01-fast")
    requests = work.engine.sessions[0].runs[1][1]
    assert [record["tokens"] for record in found] == [list(said(request)) for request in requests]
    for record in found:
        assert len(record["itl_s"]) == HEADLINE.output_len - 1
        assert record["latency_s"] == pytest.approx(record["ttft_s"] + sum(record["itl_s"]), rel=1e-3)


def test_a_failed_request_has_no_times(work: Any) -> None:
    work.run(fast=Manner(fault="requests"))
    (record,) = (each for each in work.records("request", launch="01-fast") if each["error"])
    assert (record["ttft_s"], record["latency_s"], record["itl_s"], record["tokens"]) == (None, None, [], [])


def test_a_launch_that_fails_keeps_its_reason_the_end_of_its_log_and_its_receipts(work: Any) -> None:
    work.run(fast=Manner(fault="dies"))
    (record,) = work.records("launch", arm="fast")
    assert record["state"] == "crashed"
    assert record["reason"] == "LaunchError: the engine ended with code -9"
    assert record["log_tail"] == "Killed"
    assert {receipt["rank"] for receipt in work.records("receipt", launch="01-fast")} == {None, 0}


def test_a_baseline_that_fails_a_request_is_a_failed_launch(work: Any) -> None:
    work.run(baseline=Manner(fault="requests"))
    (record,) = work.records("launch")
    assert (record["state"], record["arm"]) == ("crashed", "baseline")
    assert record["reason"] == "LaunchError: the baseline failed 1 of 4 requests: connection reset"


def test_the_log_is_named_relative_to_the_run(work: Any) -> None:
    work.run()
    assert work.records("launch")[0]["log"] == "launches/00-baseline/engine.log"


def test_arms_keep_caches_of_their_own_and_a_baseline_keeps_one(work: Any) -> None:
    work.packs = ("fast", "small")
    work.run()
    digests = {(session.plan.arm, session.launch.digest) for session in work.engine.sessions}
    assert len(digests) == 3
    assert len({digest for _, digest in digests}) == 3


@pytest.mark.parametrize("fault", ["ready", "dies", "hangs", "rank", "error", "absent"])
def test_a_session_is_stopped_whatever_happens(work: Any, fault: str) -> None:
    work.run(fast=Manner(fault=fault))
    assert [session.stops for session in work.engine.sessions] == [1, 1]


def test_an_error_that_nobody_expected_stops_the_session_and_ends_the_run(
    work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakeSession) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FakeSession, "facts", broken)
    with pytest.raises(ZeroDivisionError):
        work.run()
    assert [session.stops for session in work.engine.sessions] == [1]
    assert work.closed() == []
