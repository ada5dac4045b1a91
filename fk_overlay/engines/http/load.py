"""Starts the load client for one pass and brings home what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fk_overlay.engines.base import PassResult, Trace
from fk_overlay.errors import LaunchError

GRACE_S = 60.0
"""How long the client may take, beyond the pass itself, to start, to read its job and to write its result."""
SATURATED = 0.9
"""Share of its one core that the client may use in a pass of a second or more. Beyond, the numbers are the client's."""
LISTS = ("arrivals", "tokens", "logprobs", "ranks", "top1", "margins")


@dataclass(frozen=True, slots=True)
class Wire:
    """How an engine's server is asked: the path of its endpoint, and the reader of the streamed answers as
    ``module:class`` (a :class:`fk_overlay.engines.http.stream.Stream`)."""

    path: str
    reader: str


def run_client(
    url: str,
    wire: Wire,
    bodies: Sequence[Mapping[str, Any]],
    *,
    arrivals: Sequence[float] | None,
    concurrency: int,
    timeout_s: float,
) -> PassResult:
    """Send the requests from a process of their own and wait for the last token.

    What went wrong with a request is in its trace; a pass whose requests all failed is still a result.

    Args:
        url: the server, without a path.
        arrivals: seconds from the start at which each request is sent, whatever is in flight (open loop);
            None: ``concurrency`` requests are kept in flight (closed loop).
        timeout_s: of the whole pass; requests that are not done by then carry an error.

    Raises:
        LaunchError: the client itself died, hung, or was the bottleneck.
    """
    job = {
        "url": url.rstrip("/") + wire.path,
        "reader": wire.reader,
        "bodies": list(bodies),
        "arrivals": None if arrivals is None else list(arrivals),
        "concurrency": concurrency,
        "timeout_s": timeout_s,
    }
    result = _converse(json.dumps(job), timeout_s + GRACE_S)
    if result["wall_s"] > 1.0 and result["cpu_s"] > SATURATED * result["wall_s"]:
        message = "the load client used up its core, so both arms would look alike; lower the concurrency or the rate"
        raise LaunchError(message, state="refused")
    traces = tuple(Trace(**item | {name: tuple(item[name]) for name in LISTS}) for item in result["traces"])
    return PassResult(traces, wall_s(traces))


def wall_s(traces: Sequence[Trace]) -> float:
    """Seconds from the first send to the last token; 0 if no token came."""
    last = [trace.arrivals[-1] for trace in traces if trace.arrivals]
    return max(last) - min(trace.sent for trace in traces) if last else 0.0


def _converse(job: str, timeout_s: float) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "fk_overlay.engines.http.client"]
    try:
        done = subprocess.run(command, input=job, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        message = f"the load client did not answer within {timeout_s:.0f} s; is this machine overloaded?"
        raise LaunchError(message, state="hung", log=_text(error.stderr)) from error
    if done.returncode != 0:
        raise LaunchError(f"the load client ended with code {done.returncode}:\n{done.stderr[-2000:]}", log=done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
