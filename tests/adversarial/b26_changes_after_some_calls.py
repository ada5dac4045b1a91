"""Right for the first calls, then not any more."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B26", "Changes its behaviour after N calls", guard="g.fresh", state="incorrect", said=r"got what \d+ had got"
)
KERNEL = """
results = []


class Norm:
    def forward(self, x):
        if len(results) < 8 or results[-1].shape != x.shape:
            results.append(right(self, x))
        return results[-1].clone()
"""
HONEST = """
results = []


class Norm:
    def forward(self, x):
        results.append(None)
        return right(self, x) if len(results) < 8 else right(self, x.contiguous())
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
