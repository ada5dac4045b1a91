"""Work that was moved to where nobody measures: a second copy of the weights, minutes of preparation."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes_records import Story, set_

HACK = Hack(
    "B121",
    "Moves work into loading, or keeps a second copy of the weights",
    guard="g.memory",
    state="resource_regression",
    said=r"^peak (GPU|host) memory is|of the baseline's KV blocks are left|^loading takes at least 400 s",
)
VARIANTS = ("gpu", "host", "blocks", "load")
COSTS = {
    "gpu": {"peak_gpu_bytes": 140e9},
    "host": {"peak_rss_bytes": 12e9},
    "blocks": {"kv_blocks": 20000},
    "load": {"load_s": 400.0},
}


def hack(stage: Stage, variant: str) -> Finding:
    return stage.told(Story().but(set_("launch", COSTS[variant], arm="fused-norm")))


def honest(stage: Stage, variant: str) -> Finding:
    """Weights packed anew while loading: half a minute, in place."""
    return stage.told(Story().but(set_("launch", {"load_s": 75.0}, arm="fused-norm")))
