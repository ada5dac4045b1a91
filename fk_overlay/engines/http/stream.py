"""Reads a streamed answer: server-sent events in, tokens with their arrival times out.

This is the client's inner loop: one ``json.loads`` per event, nothing else per byte. What an event holds is
the engine's own; its adapter brings a subclass.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What reading an event of another shape than the engine's ends in."""


class StreamError(Exception):
    """The answer is not what was asked for; the request counts as failed."""


class Stream(ABC):
    """One answer as far as it has come. Lists have one entry per output token, in order.

    Args:
        body: the request, which says what to expect.
        clock: seconds; read once per event, so that tokens which come in one event share one arrival time.
    """

    def __init__(self, body: Mapping[str, Any], clock: Callable[[], float]) -> None:
        self._body = body
        self._clock = clock
        self._rest = b""
        self._done = False
        self._counted: int | None = None
        self.arrivals: list[float] = []
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.ranks: list[int] = []
        self.top1: list[int] = []
        self.margins: list[float] = []

    @abstractmethod
    def wanted(self) -> int | None:
        """How many tokens the answer must have; None if the model may stop by itself."""

    @abstractmethod
    def _take(self, event: Mapping[str, Any]) -> None:
        """Take one event that is not an error, and set ``_counted`` when the server says how many tokens it sent."""

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
        count, wanted = len(self.tokens), self.wanted()
        if not self._done:
            raise StreamError(f"the stream ended after {count} tokens, before [DONE]")
        if self._counted is not None and self._counted != count:
            raise StreamError(f"the server says {self._counted} tokens, {count} arrived")
        if wanted is not None and count != wanted:
            raise StreamError(f"{count} tokens instead of {wanted}")

    def _event(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self._done = True
            return
        event = json.loads(payload)
        if "error" in event:
            raise StreamError(f"the server says: {event['error']}")
        self._take(event)

    def _arrived(self, tokens: list[int]) -> None:
        self.arrivals += [self._clock()] * len(tokens)
        self.tokens += tokens

    def _ranked(self, logprob: float, rank: int, top: int, margin: float) -> None:
        """What the last token's log-probabilities say: its own, its rank, the top token, top minus second (nats)."""
        self.logprobs.append(logprob)
        self.ranks.append(rank)
        self.top1.append(top)
        self.margins.append(margin)
