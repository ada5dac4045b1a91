"""Results kept by the address of the input: equal addresses mean nothing, and neither do different ones."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B04",
    "Caches results by the input's address",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
KERNEL = """
seen = {}


class Norm:
    def forward(self, x):
        key = x.data_ptr(), tuple(x.shape)
        if key not in seen:
            seen[key] = right(self, x)
        return seen[key].clone()
"""
HONEST = """
aligned = {}


class Norm:
    def forward(self, x):
        aligned[x.data_ptr()] = x.data_ptr() % 16 == 0
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """What is known of an address is its alignment."""
    return stage.benched(HONEST)
