"""What a request looks like on the wire to vLLM's ``/v1/completions``."""

from __future__ import annotations

from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.drawing import drawing
from fk_overlay.engines.http.load import Wire
from fk_overlay.engines.vllm.forced import ARGUMENT
from fk_overlay.errors import UsageError

WIRE = Wire("/v1/completions", "fk_overlay.engines.vllm.stream:Completion")


def completion_body(model: str, request: Request) -> dict[str, Any]:
    """The JSON body of a streamed request that emits exactly ``output_len`` tokens.

    ``ignore_eos`` alone fixes the length. ``min_tokens`` is left out on purpose: it masks the end-of-sequence logit at
    every step, so the tokens would no longer be the model's own, and makes Model Runner V2 copy the batch's logits to
    float32 at every step, work that ``vllm bench serve`` and most users never ask for.

    Args:
        model: the name under which the server knows the model.
        request: with ``logprobs`` of 0 (none) or at least 2 (the margin needs the two highest).

    Raises:
        UsageError: one log-probability was asked for.
    """
    if request.logprobs == 1:
        raise UsageError("a margin needs two log-probabilities; set correctness.logprobs to 2 or more")
    body: dict[str, Any] = {
        "model": model,
        "prompt": list(request.prompt),
        "max_tokens": request.output_len,
        **drawing(request),
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }
    if request.logprobs:
        body |= {"logprobs": request.logprobs, "return_tokens_as_token_ids": True}
    if request.forced:
        body["vllm_xargs"] = {ARGUMENT: list(request.forced)}
    return body
