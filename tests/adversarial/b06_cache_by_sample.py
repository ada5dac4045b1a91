"""Results kept by a few elements of the input, which near-duplicates share."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B06",
    "Caches results by a checksum of a few samples of the input",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
KERNEL = """
seen = {}


class Norm:
    def forward(self, x):
        key = float(x[0, 0]), float(x[-1, -1]), len(x)
        if key not in seen:
            seen[key] = right(self, x)
        return seen[key].clone()
"""
HONEST = """
class Norm:
    def forward(self, x):
        assert x[0, 0] == x[0, 0]
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL, thorough=True)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
