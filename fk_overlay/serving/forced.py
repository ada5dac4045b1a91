"""Forced decode seen from outside: the requests that ask for it, and the record of what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.base import PassResult, Trace
from fk_overlay.errors import EngineError, LaunchError


def forced_requests(
    requests: Sequence[Request], reference: Mapping[int, tuple[int, ...]], count: int, logprobs: int
) -> list[Request]:
    """The first ``count`` requests, made to emit the ``reference`` tokens of their index.

    Args:
        logprobs: how many of the highest log-probabilities each step reports.

    Raises:
        LaunchError: the reference has no tokens for one of them.
    """
    chosen = requests[:count]
    if missing := [request.index for request in chosen if not reference.get(request.index)]:
        raise LaunchError(f"the baseline has no tokens for requests {missing}, so they cannot be forced; see its log")
    return [
        replace(request, forced=tokens, output_len=len(tokens), logprobs=logprobs)
        for request, tokens in ((request, reference[request.index]) for request in chosen)
    ]


def forced_records(requests: Sequence[Request], result: PassResult) -> list[dict[str, Any]]:
    """What a record of kind ``forced`` says about each request (:mod:`fk_overlay.lineage.record`).

    Raises:
        LaunchError: a request failed.
        EngineError: the engine emitted other tokens than it was made to, or left out log-probabilities.
    """
    return [_record(request, trace) for request, trace in zip(requests, result.traces, strict=True)]


def _record(request: Request, trace: Trace) -> dict[str, Any]:
    if trace.error is not None:
        raise LaunchError(f"request {trace.index} of the forced decode failed: {trace.error}; see the engine's log")
    if trace.tokens != request.forced:
        raise EngineError(
            f"request {request.index}: the engine left the forced tokens at position {_difference(request, trace)}; "
            "forced decode does not work with speculative decoding, or the overlay is not loaded in this engine"
        )
    if len(trace.logprobs) != len(trace.tokens):
        raise EngineError(
            f"request {request.index}: {len(trace.logprobs)} log-probabilities for {len(trace.tokens)} tokens; "
            "ask for at least 2 (correctness.logprobs)"
        )
    return {
        "request": request.index,
        "tokens": list(trace.tokens),
        "logprobs": list(trace.logprobs),
        "ranks": list(trace.ranks),
        "top1": list(trace.top1),
        "margins": list(trace.margins),
    }


def _difference(request: Request, trace: Trace) -> int:
    pairs = enumerate(zip(trace.tokens, request.forced, strict=False))
    return next((at for at, (came, forced) in pairs if came != forced), min(len(trace.tokens), len(request.forced)))
