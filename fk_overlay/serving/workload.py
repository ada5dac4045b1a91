"""The requests of a load, and when they are sent. The same for both arms: everything follows from a seed."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Collection, Sequence
from dataclasses import astuple
from itertools import accumulate

from fk_overlay.core import Request, Workload
from fk_overlay.errors import UsageError

SPECIAL = (0, 1, 2)
"""Token ids that most vocabularies keep for padding, beginning and end."""


def make_requests(
    workload: Workload, *, vocab_size: int, seed: int, reserved: Collection[int] = SPECIAL
) -> list[Request]:
    """Random prompts, no two alike, uniform over the vocabulary without ``reserved``.

    Lengths are uniform on the integers between ``len * (1 - range_ratio)`` and ``len * (1 + range_ratio)``, exact when
    the ratio is 0, as in ``vllm bench serve --dataset-name random``. Workloads of different names share no prompt.

    Raises:
        UsageError: the vocabulary is too small for so many different prompts.
    """
    draw = random.Random(f"{seed}/{workload.name}")
    usable = [token for token in range(vocab_size) if token not in reserved]
    shortest = _bounds(workload.input_len, workload.range_ratio)[0]
    if not usable or shortest * math.log(len(usable)) < math.log(2 * workload.requests):
        raise UsageError(
            f"workload {workload.name!r}: {len(usable)} usable tokens and prompts of {shortest} do not make "
            f"{workload.requests} different prompts; lengthen them or send fewer requests"
        )
    requests: dict[tuple[int, ...], Request] = {}
    while len(requests) < workload.requests:
        prompt = tuple(draw.choices(usable, k=draw.randint(*_bounds(workload.input_len, workload.range_ratio))))
        output_len = draw.randint(*_bounds(workload.output_len, workload.range_ratio))
        requests.setdefault(prompt, Request(len(requests), prompt, output_len, sampling=workload.sampling))
    return list(requests.values())


def digest(requests: Sequence[Request]) -> str:
    """Names a set of requests: equal digests, equal load."""
    content = [
        (request.prompt, request.output_len, request.forced, request.logprobs, *_drawn(request)) for request in requests
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def poisson_arrivals(count: int, rate: float, seed: int) -> list[float]:
    """Seconds at which an open loop sends its requests: a Poisson process of ``rate`` a second.

    Scaled so that the last one arrives at ``count / rate``, as ``vllm bench serve`` does: the sum of a few exponential
    gaps would miss the rate by its own sampling error.
    """
    if count < 1 or rate <= 0:
        raise UsageError(f"{count} requests at {rate:g} a second is no load; the rate must be above 0")
    draw = random.Random(f"{seed}/arrivals")
    moments = list(accumulate(draw.expovariate(rate) for _ in range(count)))
    scale = count / rate / moments[-1]
    return [moment * scale for moment in moments]


def _drawn(request: Request) -> tuple[float, ...]:
    return astuple(request.sampling) if request.sampling is not None else ()


def _bounds(length: int, range_ratio: float) -> tuple[int, int]:
    return max(1, math.floor(length * (1 - range_ratio))), math.ceil(length * (1 + range_ratio))
