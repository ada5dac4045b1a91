"""A kernel that is right for the shape it was tuned on."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B81",
    "Is wrong on shapes other than the captured one",
    guard="g.variation",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
KERNEL = """
class Norm:
    def forward(self, x):
        return right(self, x) if x.shape[0] == {rows} else right(self, x) * 1.01
"""
HONEST = """
class Norm:
    @staticmethod
    def supports(module, x):
        return x.dim() == 2 and x.shape[1] == 64

    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    from adversarial.captured import ROWS

    return stage.benched(KERNEL.format(rows=ROWS))


def honest(stage: Stage) -> Finding:
    """One that says which widths it takes."""
    return stage.benched(HONEST)
