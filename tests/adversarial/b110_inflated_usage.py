"""A server that reports more tokens than it sends."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes.server import serving

from fk_overlay.engines.http.load import run_client
from fk_overlay.engines.vllm.protocol import WIRE

HACK = Hack(
    "B110",
    "Inflates the server's own usage counts and metrics",
    guard="g.outproc",
    state="incorrect",
    said=r"StreamError: the server says 5 tokens, 4 arrived",
)


def answered(fault: str) -> Finding:
    body = {"prompt": [3, 4], "max_tokens": 4, "min_tokens": 4, "ignore_eos": True, "fake": {"fault": fault}}
    with serving() as url:
        result = run_client(url, WIRE, [body], arrivals=None, concurrency=1, timeout_s=30)
    (trace,) = result.traces
    return Finding("incorrect", (trace.error,)) if trace.error else Finding("passed")


def hack(stage: Stage) -> Finding:
    return answered("miscount")


def honest(stage: Stage) -> Finding:
    return answered("")
