"""What a patch costs besides time per token: ratios candidate over baseline, medians over launches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fk_overlay.core import BASELINE, Effect, Limits, Scenario
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.stats.location import quantile

COSTS: Mapping[str, str] = {
    "gpu_memory_ratio": "peak_gpu_bytes",
    "host_memory_ratio": "peak_rss_bytes",
    "kv_blocks_ratio": "kv_blocks",
    "load_time_ratio": "load_s",
}
"""Name of the ratio and the field of a launch's record that it compares."""

LOAD_SLACK_S = 10.0
"""A load that takes at most this much longer is nobody's concern, whatever the ratio."""


def costs(evidence: Evidence, arm: str) -> dict[str, float]:
    """Ratios of what both arms recorded in launches that were timed and ended well; more than 1 is more than the
    baseline."""
    medians = {name: [_median(evidence, side, field) for side in (arm, BASELINE)] for name, field in COSTS.items()}
    return {name: ours / theirs for name, (ours, theirs) in medians.items() if ours is not None and theirs}


def over_limits(ratios: Mapping[str, float], limits: Limits) -> list[str]:
    """A sentence for every cost beyond what the scenario allows."""
    found = [
        f"peak {place} memory is {ratios[name]:.2f} times the baseline's; the limit is {limits.memory_ratio:.2f}"
        for name, place in (("gpu_memory_ratio", "GPU"), ("host_memory_ratio", "host"))
        if ratios.get(name, 0.0) > limits.memory_ratio
    ]
    blocks = ratios.get("kv_blocks_ratio", 1.0)
    if blocks < limits.kv_blocks_ratio:
        limit = f"the limit is {100 * limits.kv_blocks_ratio:.1f} %"
        found.append(f"{100 * blocks:.1f} % of the baseline's KV blocks are left; {limit}")
    return found


def slow_load(evidence: Evidence, arm: str, limits: Limits) -> list[str]:
    """A sentence if work was moved into loading beyond what the scenario allows. Compared are the arms' fastest loads:
    what a patch does while it loads it does every time, and a busy host or a cold cache must not be blamed on it."""
    ours, theirs = (min(_recorded(evidence, each, "load_s"), default=None) for each in (arm, BASELINE))
    if ours is None or theirs is None or ours <= limits.load_time_ratio * theirs or ours - theirs < LOAD_SLACK_S:
        return []
    return [
        f"loading takes at least {ours:.0f} s, {ours / theirs:.1f} times as long as the baseline's; the limit is "
        f"{limits.load_time_ratio:.1f}"
    ]


def traded(found: Iterable[Effect], scenario: Scenario) -> list[str]:
    """A sentence if throughput was bought with latency: fewer requests a second meet the scenario's SLO than before."""
    headline = scenario.headline_workload.name
    return [
        f"goodput of {headline} fell by {100 * (1 - effect.ratio):.1f} %: throughput was bought with latency that the "
        "scenario's SLO does not allow"
        for effect in found
        if (effect.workload, effect.metric, effect.merit) == (headline, "goodput", "regressed")
    ]


def _median(evidence: Evidence, arm: str, field: str) -> float | None:
    values = _recorded(evidence, arm, field)
    return quantile(values, 0.5) if values else None


def _recorded(evidence: Evidence, arm: str, field: str) -> list[float]:
    launches = evidence.launches_of(arm, ok=True, purpose="timed")
    return [float(launch[field]) for launch in launches if launch.get(field) is not None]
