"""A softmax without its maximum subtracted: right until a score is large."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B78",
    "Leaves out what keeps large values from overflowing",
    guard="g.recheck",
    also=("g.poison",),
    state="incorrect",
    said=r"result 0: NaN where the oracle has none",
)
KERNEL = """
def mix(scores, values):
    weights = torch.exp(scores)
    return (weights / weights.sum(-1, keepdim=True)) @ values
"""
HONEST = """
def mix(scores, values):
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights / weights.sum(-1, keepdim=True)) @ values
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL, "mix")


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST, "mix")
