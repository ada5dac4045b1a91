"""A kernel that looks at the memory it is given and works only where it looks prepared for a test."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B18",
    "Computes only when its output looks poisoned",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
KERNEL = """
last = {}


class Norm:
    def forward(self, x):
        key = tuple(x.shape)
        if key not in last or bool(torch.empty_like(x).isnan().any()):
            last[key] = right(self, x)
        return last[key].clone()
"""
HONEST = """
class Norm:
    def forward(self, x):
        out = torch.empty_like(x)
        out.zero_()
        return out.add_(right(self, x))
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """A kernel that clears its memory first."""
    return stage.benched(HONEST)
