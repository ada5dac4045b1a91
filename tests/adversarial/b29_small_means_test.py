"""A kernel that takes small inputs for a test, and does not run on larger ones."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B29",
    "Detects a tiny test; the real path does not work",
    guard="g.poison",
    also=("g.recheck", "g.variation"),
    state="incorrect",
    said=r"of a result is what its memory held before|result 0: ",
)
KERNEL = """
class Norm:
    def forward(self, x):
        return right(self, x) if x.shape[0] < 4 else torch.empty_like(x)
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x) if x.shape[0] < 4 else torch.cat([right(self, x[:3]), right(self, x[3:])])
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Two ways for two sizes, both right."""
    return stage.benched(HONEST)
