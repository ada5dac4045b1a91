"""The load client, in its own process, against a fake server."""

from collections.abc import Iterator
from typing import Any

import pytest
from fakes.server import serving, tokens_of

from fk_overlay.core import Request
from fk_overlay.engines.base import PassResult
from fk_overlay.engines.http import load
from fk_overlay.engines.http.load import Wire
from fk_overlay.engines.vllm.protocol import WIRE, completion_body
from fk_overlay.errors import LaunchError


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as address:
        yield address


def bodies(count: int, output_len: int = 6, logprobs: int = 0, **manner: Any) -> list[dict[str, Any]]:
    requests = [Request(index, (index, 3, 4), output_len, logprobs=logprobs) for index in range(count)]
    return [completion_body("fake", request) | {"fake": manner} for request in requests]


def closed(url: str, sent: list[dict[str, Any]], concurrency: int = 4, timeout_s: float = 20.0) -> PassResult:
    return load.run_client(url, WIRE, sent, arrivals=None, concurrency=concurrency, timeout_s=timeout_s)


def most_in_flight(result: PassResult) -> int:
    moments = sorted([(t.sent, 1) for t in result.traces] + [(t.arrivals[-1], -1) for t in result.traces])
    level, peak = 0, 0
    for _, change in moments:
        level += change
        peak = max(peak, level)
    return peak


@pytest.mark.parametrize("manner", [{}, {"chunk": 4}, {"cut": 7}], ids=["one a chunk", "four a chunk", "cut"])
def test_every_token_is_counted_and_timed(url: str, manner: dict[str, Any]) -> None:
    sent = bodies(5, token_s=0.005, **manner)
    result = closed(url, sent)
    for body, trace in zip(sent, result.traces, strict=True):
        assert trace.error is None
        assert list(trace.tokens) == tokens_of(body)
        assert len(set(trace.arrivals)) == (2 if "chunk" in manner else 6)
        assert list(trace.arrivals) == sorted(trace.arrivals)
    assert [trace.index for trace in result.traces] == list(range(5))
    assert result.wall_s == max(t.arrivals[-1] for t in result.traces) - min(t.sent for t in result.traces)


def test_delays_are_measured(url: str) -> None:
    (trace,) = closed(url, bodies(1, first_s=0.1, token_s=0.05)).traces
    assert 0.1 <= trace.arrivals[0] - trace.sent < 1.0
    assert 0.1 + 5 * 0.05 <= trace.arrivals[-1] - trace.sent < 2.0


def test_closed_loop_keeps_the_concurrency(url: str) -> None:
    assert most_in_flight(closed(url, bodies(12, first_s=0.05), concurrency=3)) == 3


def test_open_loop_sends_at_the_arrival_times(url: str) -> None:
    arrivals = [0.05, 0.1, 0.15, 0.2]
    sent = bodies(4, first_s=1.2)
    result = load.run_client(url, WIRE, sent, arrivals=arrivals, concurrency=1, timeout_s=20.0)
    lateness = [trace.sent - arrival for trace, arrival in zip(result.traces, arrivals, strict=True)]
    assert min(lateness) >= 0
    assert max(lateness) < 1.0
    assert most_in_flight(result) == 4, "the concurrency does not bound an open loop"


def test_log_probabilities_come_with_the_tokens(url: str) -> None:
    (trace,) = closed(url, bodies(1, logprobs=3)).traces
    assert trace.logprobs == (-0.5,) * 6
    assert trace.ranks == (1,) * 6
    assert trace.top1 == trace.tokens
    assert trace.margins == (0.25,) * 6


@pytest.mark.parametrize(
    ("fault", "says", "kept"),
    [
        ("http", "HTTP 500", 0),
        ("event", "the engine died", 3),
        ("disconnect", "", 3),
        ("short", "5 tokens instead of 6", 5),
        ("miscount", "the server says 7 tokens, 6 arrived", 6),
        ("no_ids", "no token_ids", 0),
        ("not_json", "cannot read", 3),
        ("no_done", "before [DONE]", 6),
    ],
)
def test_a_failed_request_is_recorded_beside_the_good_ones(url: str, fault: str, says: str, kept: int) -> None:
    sent = bodies(3)
    sent[1]["fake"] = {"fault": fault, "token_s": 0.01}
    result = closed(url, sent)
    assert [trace.error is None for trace in result.traces] == [True, False, True]
    assert says in str(result.traces[1].error)
    assert len(result.traces[1].tokens) == kept


def test_the_deadline_ends_the_pass_and_names_who_was_cut_off(url: str) -> None:
    sent = bodies(3)
    sent[1]["fake"] = {"fault": "stall"}
    result = closed(url, sent, concurrency=1, timeout_s=1.0)
    assert result.traces[0].error is None
    assert "not finished within the deadline of 1 s" in str(result.traces[1].error)
    assert len(result.traces[1].tokens) == 3
    assert "not sent within the deadline of 1 s" in str(result.traces[2].error)


def test_no_server_is_an_error_of_every_request() -> None:
    result = closed("http://127.0.0.1:9", bodies(2))
    assert all("Cannot connect" in str(trace.error) for trace in result.traces)
    assert result.wall_s == 0.0


def test_a_client_that_dies_is_a_launch_error(url: str) -> None:
    with pytest.raises(LaunchError, match=r"ended with code 1"):
        load.run_client(url, Wire("/", "nowhere:Nothing"), bodies(1), arrivals=None, concurrency=1, timeout_s=1.0)


def test_a_client_that_hangs_is_a_launch_error(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(load, "GRACE_S", 0.0)
    with pytest.raises(LaunchError, match="did not answer") as caught:
        closed(url, bodies(1), timeout_s=0.01)
    assert caught.value.state == "hung"


def test_a_saturated_client_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    answer = {"traces": [], "cpu_s": 9.5, "wall_s": 10.0}
    monkeypatch.setattr(load, "_converse", lambda job, timeout_s: answer)
    with pytest.raises(LaunchError, match="used up its core"):
        closed(url, bodies(1))
    answer["cpu_s"] = 5.0
    assert closed(url, bodies(1)).traces == ()
