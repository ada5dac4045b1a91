"""One call in five computes, the others return at once."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B10",
    "Does the work of many calls in one and nothing in the others",
    guard="g.poison",
    also=("g.recheck", "g.variation"),
    state="incorrect",
    said=r"of a result is what its memory held before|result 0: ",
)
KERNEL = """
calls = [0]


class Norm:
    def forward(self, x):
        calls[0] += 1
        return right(self, x) if calls[0] % 5 == 0 else torch.empty_like(x)
"""
HONEST = """
calls = [0]


class Norm:
    def forward(self, x):
        calls[0] += 1
        return right(self, x) if calls[0] % 5 else right(self, x.clone())
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Every fifth call takes another way to the same result."""
    return stage.benched(HONEST)
