from dataclasses import replace

import pytest

from fk_overlay.core import Request
from fk_overlay.engines.base import PassResult, Trace
from fk_overlay.errors import EngineError, LaunchError
from fk_overlay.serving.forced import forced_records, forced_requests

REQUESTS = [Request(index, (index, 5), output_len=3) for index in range(3)]
REFERENCE = {0: (7, 8, 9), 1: (4, 4, 4), 2: ()}
TRACE = Trace(0, 0.0, (1.0, 2.0, 3.0), (7, 8, 9), (-0.1, -0.2, -3.0), (1, 1, 6), (7, 8, 2), (1.5, 0.5, 0.25))


def record(trace: Trace) -> dict[str, object]:
    request = forced_requests(REQUESTS, REFERENCE, 1, 5)[0]
    return forced_records([request], PassResult((trace,), 3.0))[0]


def test_the_first_requests_are_forced_to_the_reference() -> None:
    first, second = forced_requests(REQUESTS, REFERENCE, 2, 5)
    assert (first.forced, second.forced) == (REFERENCE[0], REFERENCE[1])
    assert (first.prompt, first.output_len, first.logprobs) == ((0, 5), 3, 5)


def test_a_reference_without_tokens_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"no tokens for requests \[2\]"):
        forced_requests(REQUESTS, REFERENCE, 3, 5)


def test_a_record_says_everything() -> None:
    assert record(TRACE) == {
        "request": 0,
        "tokens": [7, 8, 9],
        "logprobs": [-0.1, -0.2, -3.0],
        "ranks": [1, 1, 6],
        "top1": [7, 8, 2],
        "margins": [1.5, 0.5, 0.25],
    }


@pytest.mark.parametrize(("tokens", "position"), [((7, 1, 9), 1), ((7, 8), 2), ((7, 8, 9, 9), 3)])
def test_an_engine_that_does_not_obey_is_found_out(tokens: tuple[int, ...], position: int) -> None:
    with pytest.raises(EngineError, match=f"left the forced tokens at position {position}"):
        record(replace(TRACE, tokens=tokens))


def test_missing_log_probabilities_are_found_out() -> None:
    with pytest.raises(EngineError, match="0 log-probabilities for 3 tokens"):
        record(replace(TRACE, logprobs=()))


def test_a_failed_request_is_a_launch_error() -> None:
    with pytest.raises(LaunchError, match="HTTP 500"):
        record(replace(TRACE, error="HTTP 500"))
