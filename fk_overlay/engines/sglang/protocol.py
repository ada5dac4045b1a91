"""What a request looks like on the wire to SGLang's own ``/generate``, which takes and gives token ids."""

from __future__ import annotations

from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.drawing import drawing
from fk_overlay.engines.http.load import Wire
from fk_overlay.engines.sglang.forced import ARGUMENT
from fk_overlay.errors import UsageError

WIRE = Wire("/generate", "fk_overlay.engines.sglang.stream:Generation")


def generate_body(request: Request) -> dict[str, Any]:
    """The JSON body of a streamed request that emits exactly ``output_len`` tokens.

    Args:
        request: with ``logprobs`` of 0 (none) or at least 2 (the margin needs the two highest).

    Raises:
        UsageError: one log-probability was asked for.
    """
    return {**fields(request), "stream": True}


def fields(request: Request) -> dict[str, Any]:
    """What ``/generate`` and ``Engine.async_generate`` have in common."""
    if request.logprobs == 1:
        raise UsageError("a margin needs two log-probabilities; set correctness.logprobs to 2 or more")
    sampling: dict[str, Any] = {**drawing(request), "max_new_tokens": request.output_len, "ignore_eos": True}
    if request.forced:
        sampling["custom_params"] = {ARGUMENT: list(request.forced)}
    asked: dict[str, Any] = {"input_ids": list(request.prompt), "sampling_params": sampling}
    if request.logprobs:
        asked |= {"return_logprob": True, "top_logprobs_num": request.logprobs, "logprob_start_len": -1}
    return asked
