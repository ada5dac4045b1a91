"""A kernel that leaves out what does not fill a tile of seven rows."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B83",
    "Fails on edges: one token, the largest batch, odd widths",
    guard="g.variation",
    state="incorrect",
    said=r"call \d+: result 0: ",
    part="fewer rows than captured; an empty batch and odd widths are in the samples of tasks",
)
KERNEL = """
class Norm:
    def forward(self, x):
        out = torch.zeros_like(x)
        for first in range(0, x.shape[0] - 6, 7):
            out[first : first + 7] = right(self, x[first : first + 7])
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
