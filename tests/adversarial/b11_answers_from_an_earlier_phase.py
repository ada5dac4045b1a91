"""Answers learnt while correctness seems to be tested, repeated when time seems to be taken."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B11",
    "Learns answers in the checks and replays them under the clock",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
KERNEL = """
learnt = {}


class Norm:
    def forward(self, x):
        answers = learnt.setdefault(tuple(x.shape), [])
        if len(answers) < 6:
            answers.append(right(self, x))
        return answers[-1].clone()
"""
HONEST = """
best = []


class Norm:
    def forward(self, x):
        if len(best) < 3:
            best.append(len(best))
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Tuning in the first calls, the same work in all."""
    return stage.benched(HONEST)
