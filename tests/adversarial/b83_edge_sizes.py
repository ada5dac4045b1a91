"""A kernel that fails on a single row."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B83",
    "Fails on edges: one token, the largest batch, odd widths",
    guard="g.variation",
    state="incorrect",
    said=r"^call \d+: result 0: ",
    part="fewer rows than captured; an empty batch and odd widths are in the samples of tasks",
)
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        if x.shape[0] % 2:
            out[-1] = 0
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        return torch.cat([right(self, part) for part in x.split(2)])
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Pairs of rows, and the odd one."""
    return stage.benched(HONEST)
