"""The last tile left out."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B25",
    "Truncates a loop, drops the tail or the last tile",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
VARIANTS = ("columns", "rows")
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        out[{where}] = 0
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        out = torch.empty_like(x)
        for first in range(0, x.shape[0], 4):
            out[first : first + 4] = right(self, x[first : first + 4])
        return out
"""
WHERE = {"columns": "..., 62:", "rows": "x.shape[0] // 4 * 4 :"}


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL.format(where=WHERE[variant]))


def honest(stage: Stage, variant: str) -> Finding:
    """Tiles of four rows, the last one shorter."""
    return stage.benched(HONEST)
