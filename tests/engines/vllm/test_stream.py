"""Reading server-sent events: whole, cut anywhere, and wrong."""

import json
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.engines.http.stream import StreamError
from fk_overlay.engines.vllm.stream import Completion, place

BODY = {"max_tokens": 3, "ignore_eos": True}


def line(event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def chunk(*tokens: int, **extra: Any) -> bytes:
    return line({"choices": [{"text": "é\n", "token_ids": list(tokens), **extra}]})


USAGE = line({"choices": [], "usage": {"completion_tokens": 3}})
DONE = b"data: [DONE]\n\n"
WHOLE = b": ping\n\n" + chunk(5) + chunk(6, 7) + USAGE + DONE


def stream(body: dict[str, Any] = BODY) -> Completion:
    ticks = count(1)
    return Completion(body, lambda: float(next(ticks)))


@given(st.lists(st.integers(0, len(WHOLE))))
def test_an_answer_may_be_cut_anywhere(places: list[int]) -> None:
    edges = [0, *sorted(places), len(WHOLE)]
    read = stream()
    for start, stop in pairwise(edges):
        read.feed(WHOLE[start:stop])
    read.finish()
    assert read.tokens == [5, 6, 7]
    assert read.arrivals == [1.0, 2.0, 2.0], "tokens of one event arrive together, other events do not"


def test_carriage_returns_and_missing_spaces_are_allowed() -> None:
    read = stream()
    read.feed(WHOLE.replace(b"\n", b"\r\n").replace(b"data: ", b"data:"))
    read.finish()
    assert read.tokens == [5, 6, 7]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (chunk(5) + chunk(6, 7) + USAGE, "before \\[DONE\\]"),
        (chunk(5) + USAGE + DONE, "server says 3 tokens, 1 arrived"),
        (chunk(5) + DONE, "1 tokens instead of 3"),
        (line({"error": {"message": "out of memory"}}), "out of memory"),
        (line({"choices": [{"text": "a"}]}), "no token_ids"),
        (b"data: {half\n", "cannot read the event b'{half'"),
        (line([1]), "cannot read the event"),
    ],
)
def test_what_is_not_as_asked_is_an_error(answer: bytes, says: str) -> None:
    read = stream()
    with pytest.raises(StreamError, match=says):
        _read(read, answer)


def _read(read: Completion, answer: bytes) -> None:
    read.feed(answer)
    read.finish()


def test_missing_log_probabilities_are_an_error() -> None:
    with pytest.raises(StreamError, match="cannot read"):
        stream(BODY | {"logprobs": 2}).feed(chunk(5))


def test_log_probabilities_are_read() -> None:
    read = stream({"logprobs": 2})
    reported = {"token_logprobs": [-0.5], "top_logprobs": [{"token_id:5": -0.5, "token_id:9": -1.5}]}
    read.feed(chunk(5, logprobs=reported))
    assert (read.logprobs, read.ranks, read.top1, read.margins) == ([-0.5], [1], [5], [1.0])


@pytest.mark.parametrize(
    ("token", "entries", "expected"),
    [
        (7, {"token_id:7": -0.1, "token_id:8": -2.0, "token_id:9": -3.0}, (1, 7, 1.9)),
        (8, {"token_id:8": -2.0, "token_id:7": -0.1, "token_id:9": -3.0}, (2, 7, 1.9)),
        (4, {"token_id:4": -9.0, "token_id:7": -0.1, "token_id:8": -2.0, "token_id:9": -3.0}, (4, 7, 1.9)),
        (8, {"token_id:8": -1.0, "token_id:7": -1.0, "token_id:9": -3.0}, (1, 8, 0.0)),
    ],
    ids=["top", "second", "outside", "tied with the top"],
)
def test_rank_top_and_margin(token: int, entries: dict[str, float], expected: tuple[int, int, float]) -> None:
    assert place(token, entries[f"token_id:{token}"], entries, 3) == pytest.approx(expected)
