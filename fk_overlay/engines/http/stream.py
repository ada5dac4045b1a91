"""Reads a streamed ``/v1/completions`` answer: server-sent events in, tokens with their arrival times out.

This is the client's inner loop: one ``json.loads`` per event, nothing else per byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

TOKEN_KEY = "token_id:"
"""How vLLM writes a token in log-probabilities when asked for ``return_tokens_as_token_ids``."""

UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What reading an event of another shape than vLLM's ends in."""


class StreamError(Exception):
    """The answer is not what was asked for; the request counts as failed."""


class Stream:
    """One answer as far as it has come. Lists have one entry per output token, in order.

    Args:
        body: the request, whose ``max_tokens``, ``ignore_eos`` and ``logprobs`` say what to expect.
        clock: seconds; read once per event, so that tokens which come in one event share one arrival time.
    """

    def __init__(self, body: Mapping[str, Any], clock: Callable[[], float]) -> None:
        self._body = body
        self._clock = clock
        self._top = int(body.get("logprobs") or 0)
        self._rest = b""
        self._done = False
        self._counted: int | None = None
        self.arrivals: list[float] = []
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.ranks: list[int] = []
        self.top1: list[int] = []
        self.margins: list[float] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes, cut anywhere.

        Raises:
            StreamError: the server reports an error, leaves out what was asked for, or sends what cannot be read.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                try:
                    self._event(payload)
                except UNREADABLE as error:
                    raise StreamError(f"cannot read the event {payload[:200]!r}: {error!r}") from error

    def finish(self) -> None:
        """Raises :class:`StreamError` unless the answer is complete and has as many tokens as it should."""
        count, asked = len(self.tokens), self._body.get("max_tokens")
        if not self._done:
            raise StreamError(f"the stream ended after {count} tokens, before [DONE]")
        if self._counted is not None and self._counted != count:
            raise StreamError(f"the server says {self._counted} tokens, {count} arrived")
        if self._body.get("ignore_eos") and count != asked:
            raise StreamError(f"{count} tokens instead of {asked}")

    def _event(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self._done = True
            return
        event = json.loads(payload)
        if "error" in event:
            raise StreamError(f"the server says: {event['error']}")
        if choices := event.get("choices"):
            self._take(choices[0])
        elif usage := event.get("usage"):
            self._counted = usage["completion_tokens"]

    def _take(self, choice: Mapping[str, Any]) -> None:
        moment = self._clock()
        tokens = choice.get("token_ids")
        if tokens is None:
            raise StreamError("the server sends no token_ids; it must understand return_token_ids")
        self.tokens += tokens
        self.arrivals += [moment] * len(tokens)
        if self._top and tokens:
            self._rank(tokens, choice["logprobs"])

    def _rank(self, tokens: list[int], reported: Mapping[str, Any]) -> None:
        for token, logprob, entries in zip(tokens, reported["token_logprobs"], reported["top_logprobs"], strict=True):
            rank, top, margin = place(token, logprob, entries, self._top)
            self.logprobs.append(logprob)
            self.ranks.append(rank)
            self.top1.append(top)
            self.margins.append(margin)


def place(token: int, logprob: float, entries: Mapping[str, float], top: int) -> tuple[int, int, float]:
    """Rank of the emitted token, the top token, and top minus second log-probability (nats).

    vLLM sends the emitted token first and then the ``top`` highest, highest first; ``top`` entries in all mean that
    the emitted token is one of them. Its rank is not sent: it follows from the values inside the top, and ``top + 1``
    stands for every rank outside. Of equal log-probabilities the emitted token goes first.
    """
    if len(entries) > top:
        highest = list(entries.items())[1:]
        return top + 1, _token(highest[0][0]), highest[0][1] - highest[1][1]
    ordered = sorted(entries.values(), reverse=True)
    rank = 1 + sum(value > logprob for value in ordered)
    best = token if rank == 1 else _token(max(entries, key=entries.__getitem__))
    return rank, best, ordered[0] - ordered[1]


def _token(key: str) -> int:
    return int(key.removeprefix(TOKEN_KEY))
