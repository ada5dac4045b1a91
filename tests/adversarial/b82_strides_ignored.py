"""A kernel that reads its input as if it lay contiguously in memory."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B82", "Ignores strides and storage offsets", guard="g.recheck", state="incorrect", said=r"call \d+: result 0: "
)
KERNEL = """
class Norm:
    def forward(self, x):
        return right(self, x.as_strided(x.shape, (x.shape[1], 1)))
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x.contiguous())
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL, case="strided")


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST, case="strided")
