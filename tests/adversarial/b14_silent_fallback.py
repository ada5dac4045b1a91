"""A kernel that fails, and falls back to the original without a word."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B14",
    "Falls back silently: try the kernel, except call the original",
    guard="g.engage",
    state="not_engaged",
    said=r"it called what it replaces \d+ times",
)
KERNEL = """
import cheat_toy.layers as layers


def fast(x):
    raise RuntimeError("no kernel image is available")


class Norm:
    def forward(self, x):
        try:
            return fast(x)
        except Exception:
            return layers.Norm.forward.__wrapped__(self, x)
"""
HONEST = """
class Norm:
    @staticmethod
    def supports(module, x):
        return x.dim() == 2

    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """A kernel that says which calls it takes."""
    return stage.benched(HONEST)
