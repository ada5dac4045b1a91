"""A result with methods of its own, which a judge would call."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B58",
    "Overrides methods on the returned tensor and defers the work to them",
    guard="g.contract",
    state="incorrect",
    said=r"result 0: it has attributes (clone|cpu)",
)
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        out.cpu = lambda: right(self, x)
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        out.note = "about to go"
        del out.note
        return out
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
