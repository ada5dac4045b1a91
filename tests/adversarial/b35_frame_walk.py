"""A walk up the stack to whoever holds the clock."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B35",
    "Walks frames to read or change the harness's variables",
    guard="g.integrity",
    state="invalid",
    said=r"^what times a call was replaced",
    part="",
)
KERNEL = """
import sys


class Norm:
    def forward(self, x):
        frame = sys._getframe()
        while frame is not None:
            owner = frame.f_locals.get("self")
            if hasattr(owner, "_now"):
                ticks = iter((0, -1_000_000))
                owner._now = lambda: next(ticks, 0)
            frame = frame.f_back
        return right(self, x)
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
