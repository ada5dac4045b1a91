"""Reads vLLM's streamed ``/v1/completions``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fk_overlay.engines.http.stream import Stream, StreamError

TOKEN_KEY = "token_id:"
"""How vLLM writes a token in log-probabilities when asked for ``return_tokens_as_token_ids``."""


class Completion(Stream):
    """See :class:`fk_overlay.engines.http.stream.Stream`; the body is :func:`completion_body`'s."""

    def wanted(self) -> int | None:
        return int(self._body["max_tokens"]) if self._body.get("ignore_eos") else None

    def _take(self, event: Mapping[str, Any]) -> None:
        if choices := event.get("choices"):
            self._choice(choices[0])
        elif usage := event.get("usage"):
            self._counted = usage["completion_tokens"]

    def _choice(self, choice: Mapping[str, Any]) -> None:
        tokens = choice.get("token_ids")
        if tokens is None:
            raise StreamError("the server sends no token_ids; it must understand return_token_ids")
        self._arrived(tokens)
        top = int(self._body.get("logprobs") or 0)
        if top and tokens:
            said = choice["logprobs"]
            for token, logprob, entries in zip(tokens, said["token_logprobs"], said["top_logprobs"], strict=True):
                self._ranked(logprob, *place(token, logprob, entries, top))


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
