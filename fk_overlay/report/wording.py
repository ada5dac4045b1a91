"""How states, metrics and numbers are written, the same in every view."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fk_overlay.core import CONTROL, Effect, Verdict
from fk_overlay.scoring.verdict import percent as with_hyphen

MINUS, DASH = "\u2212", "\u2013"

STATES: Mapping[str, str] = {
    "improved": "improved",
    "neutral": "neutral",
    "regressed": "regressed",
    "unresolved": "unresolved",
    "incorrect": "incorrect",
    "not_engaged": "not engaged",
    "invalid": "invalid",
    "uncalibrated": "uncalibrated",
    "contract_error": "contract error",
    "resource_regression": "resource regression",
}
"""Every state in the order in which a summary counts them."""

CLAIMS: Mapping[str, str] = {
    "improved": "{arm} is faster: {change}",
    "neutral": "{arm} makes no difference: {change}",
    "regressed": "{arm} is slower: {change}",
    "unresolved": "{arm} is not decided yet: {change}",
    "incorrect": "{arm} is wrong",
    "not_engaged": "{arm} did not run where it should",
    "invalid": "This comparison is invalid",
    "uncalibrated": "{arm} cannot be judged: no envelope holds",
    "contract_error": "{arm} does not fit this engine",
    "resource_regression": "{arm} costs too much",
}

HOST_CLAIMS: Mapping[str, str] = {
    "neutral": "This host is fit to judge: {change} between two baselines",
    "unresolved": "No bias found on this host: {change} between two baselines",
    "invalid": "This host is not fit to judge",
}
"""What the control arm says instead."""

COSTS: Mapping[str, str] = {
    "gpu_memory_ratio": "GPU memory",
    "host_memory_ratio": "Host memory",
    "kv_blocks_ratio": "KV cache blocks",
    "load_time_ratio": "Load time",
}

ACRONYMS = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "E2E latency"}


def claim(verdict: Verdict) -> str:
    """The verdict in one line."""
    effect = verdict.effect
    measured = effect is not None and effect.pairs > 1
    change = f"{percent(effect.ratio - 1)} {metric(effect.metric)}" if effect and measured else "too few restart pairs"
    claims = {**CLAIMS, **HOST_CLAIMS} if verdict.arm == CONTROL else CLAIMS
    return claims[verdict.state].format(arm=verdict.arm, change=change)


def metric(name: str) -> str:
    """``ttft_p95`` as ``TTFT p95``, ``output_throughput`` as ``output throughput``."""
    first, _, rest = name.partition("_")
    return " ".join(part for part in (ACRONYMS.get(first, first), rest.replace("_", " ")) if part)


def percent(change: float, digits: int = 1) -> str:
    """As :func:`fk_overlay.scoring.verdict.percent`, with a true minus sign."""
    return with_hyphen(change, digits).replace("-", MINUS)


def share(value: float | None, digits: int = 1) -> str:
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None) -> str:
    """Four significant digits, thousands apart; a dash for what is not there."""
    if value is None:
        return DASH
    if not math.isfinite(value):
        return "not finite"
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}"


def span(effect: Effect | None, digits: int = 1) -> str:
    """The 95 % interval of a ratio, as changes."""
    if effect is None or effect.pairs < 2:
        return DASH
    return f"{percent(effect.low - 1, digits)} to {percent(effect.high - 1, digits)}"


def change(effect: Effect | None, digits: int = 1) -> str:
    return DASH if effect is None else percent(effect.ratio - 1, digits)


def gib(value: float | None) -> str:
    return DASH if value is None else f"{value / 2**30:.1f}"
