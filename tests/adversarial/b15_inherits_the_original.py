"""A class that inherits the original and changes nothing."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B15",
    "Inherits the original, or has only super().forward in its body",
    guard="g.engage",
    state="not_engaged",
    said=r"it called what it replaces \d+ times",
)
KERNEL = """
import cheat_toy.layers as layers

original = layers.Norm.forward


class Norm(layers.Norm):
    def forward(self, x):
        return original(self, x)
"""
HONEST = """
import cheat_toy.layers as layers


class Norm(layers.Norm):
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
