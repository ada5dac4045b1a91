"""What one pass says: throughput and latencies, by the formulas of ``vllm bench serve`` (vllm/benchmarks/serve.py)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fk_overlay.core import Slo
from fk_overlay.engines.base import PassResult, Trace

MS = 1000.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The part of a :class:`fk_overlay.core.Sample` that a pass decides."""

    metric: str
    value: float
    unit: str
    higher_is_better: bool


def samples(result: PassResult, slo: Slo) -> list[Measured]:
    """The pass's metrics. Failed requests count only as ``failed_requests``.

    With d the pass's wall time, and over completed requests, n tokens each:

    - ``output_throughput``: sum of n / d, tokens/s; ``request_throughput``: requests / d
    - ``ttft_*``: first token - sent; ``e2e_*``: last token - sent
    - ``tpot_*``: (last - first token) / (n - 1) of each request with n > 1
    - ``itl_*``: every gap between events of one request. Tokens that arrive in one event have no gap between them
    - ``goodput``: requests with TTFT and TPOT (0 for n = 1) within ``slo`` / d

    Percentiles interpolate linearly between order statistics (numpy's default). A pass in which nothing completed, or
    whose driver reports no arrival times (offline), has no latencies.
    """
    done = [trace for trace in result.traces if trace.error is None and trace.arrivals]
    measured = [
        _rate("output_throughput", sum(len(trace.tokens) for trace in done), result.wall_s, "tokens/s"),
        _rate("request_throughput", len(done), result.wall_s, "requests/s"),
        Measured("failed_requests", float(len(result.traces) - len(done)), "requests", False),
    ]
    if not done or _offline(result):
        return measured
    good = sum(ttft(trace) * MS <= slo.ttft_ms and tpot(trace) * MS <= slo.tpot_ms for trace in done)
    measured.append(_rate("goodput", good, result.wall_s, "requests/s"))
    measured += _percentiles("ttft", [ttft(trace) for trace in done], (50, 95, 99))
    measured += _percentiles("tpot", [tpot(trace) for trace in done if len(trace.tokens) > 1], (50, 95, 99))
    measured += _percentiles("itl", [gap for trace in done for gap in itl(trace)], (50, 95, 99))
    measured += _percentiles("e2e", [e2e(trace) for trace in done], (50, 95))
    return measured


def ttft(trace: Trace) -> float:
    """Time to first token, seconds."""
    return trace.arrivals[0] - trace.sent


def tpot(trace: Trace) -> float:
    """Mean time per output token without the first, seconds; 0 for a single token."""
    return (trace.arrivals[-1] - trace.arrivals[0]) / max(1, len(trace.tokens) - 1)


def itl(trace: Trace) -> list[float]:
    """Inter-token latencies, seconds: gaps between the events that brought tokens."""
    return [after - before for before, after in pairwise(trace.arrivals) if after != before]


def e2e(trace: Trace) -> float:
    """Latency of the whole request, seconds."""
    return trace.arrivals[-1] - trace.sent


def percentile(values: Sequence[float], percent: int) -> float:
    """Linear interpolation between order statistics, as ``numpy.percentile``; ``percent`` from 1 to 99."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _offline(result: PassResult) -> bool:
    return all(moment == result.wall_s for trace in result.traces for moment in trace.arrivals)


def _rate(metric: str, amount: float, wall_s: float, unit: str) -> Measured:
    return Measured(metric, amount / wall_s if wall_s > 0 else 0.0, unit, True)


def _percentiles(name: str, values: Sequence[float], percents: Sequence[int]) -> list[Measured]:
    if not values:
        return []
    return [Measured(f"{name}_p{percent}", percentile(values, percent) * MS, "ms", False) for percent in percents]
