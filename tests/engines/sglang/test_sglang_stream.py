"""Reading SGLang's streamed generation, and what is asked for."""

import json
from itertools import count
from typing import Any

import pytest

from fk_overlay.core import Request, Sampling
from fk_overlay.engines.http.stream import StreamError
from fk_overlay.engines.sglang.protocol import generate_body
from fk_overlay.engines.sglang.stream import Generation, ranked
from fk_overlay.errors import UsageError

DONE = b"data: [DONE]\n\n"


def event(tokens: list[int], counted: int, **said: Any) -> bytes:
    meta = {"completion_tokens": counted, **said}
    return b"data: " + json.dumps({"text": "x", "output_ids": tokens, "meta_info": meta}).encode() + b"\n\n"


def generation(**asked: Any) -> Generation:
    ticks = count(1)
    request = Request(0, (1, 2), 3, **asked)
    return Generation(generate_body(request), lambda: float(next(ticks)))


def test_tokens_and_their_times() -> None:
    read = generation()
    read.feed(event([5], 1) + event([6, 7], 3) + DONE)
    read.finish()
    assert (read.tokens, read.arrivals) == ([5, 6, 7], [1.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (event([5], 1) + event([6, 7], 3), "before \\[DONE\\]"),
        (event([5], 1) + DONE, "1 tokens instead of 3"),
        (event([5], 1) + event([6], 3) + DONE, "server says 3 tokens, 2 arrived"),
        (b'data: {"error": {"message": "out of memory"}}\n\n' + DONE, "out of memory"),
    ],
)
def test_what_is_missing_or_wrong_is_an_error(answer: bytes, says: str) -> None:
    def whole() -> None:
        read = generation()
        read.feed(answer)
        read.finish()

    with pytest.raises(StreamError, match=says):
        whole()


def test_log_probabilities_come_with_their_tokens() -> None:
    read = generation(logprobs=2)
    own = [[-0.1, 5, None], [-2.0, 6, None], [-9.0, 7, None]]
    top = [[[-0.1, 5, None], [-3.1, 9, None]], [[-0.5, 9, None], [-2.0, 6, None]], [[-0.2, 1, None], [-1.2, 2, None]]]
    read.feed(event([5, 6, 7], 3, output_token_logprobs=own, output_top_logprobs=top) + DONE)
    read.finish()
    assert read.logprobs == [-0.1, -2.0, -9.0]
    assert read.ranks == [1, 2, 3], "one more than the number of entries stands for every rank outside"
    assert read.top1 == [5, 9, 1]
    assert read.margins == pytest.approx([3.0, 1.5, 1.0])


def test_of_equal_log_probabilities_the_emitted_token_goes_first() -> None:
    assert ranked([-0.7, 8, None], [[-0.7, 3, None], [-0.7, 8, None]]) == (-0.7, 1, 8, 0.0)


def test_a_request_says_all_that_counts() -> None:
    body = generate_body(Request(0, (1, 2), 3, logprobs=4, forced=(7, 8, 9)))
    assert body["input_ids"] == [1, 2]
    assert body["stream"] is True
    assert body["sampling_params"] == {
        "temperature": 0.0,
        "max_new_tokens": 3,
        "ignore_eos": True,
        "custom_params": {"fk_forced": [7, 8, 9]},
    }
    assert (body["return_logprob"], body["top_logprobs_num"], body["logprob_start_len"]) == (True, 4, -1)
    assert "return_logprob" not in generate_body(Request(0, (1, 2), 3))
    drawn = generate_body(Request(0, (1, 2), 3, sampling=Sampling(0.7, top_k=20)))["sampling_params"]
    assert drawn == {"temperature": 0.7, "top_k": 20, "top_p": 1.0, "max_new_tokens": 3, "ignore_eos": True}
    with pytest.raises(UsageError, match="two log-probabilities"):
        generate_body(Request(0, (1, 2), 3, logprobs=1))
