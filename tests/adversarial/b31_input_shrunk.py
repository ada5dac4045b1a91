"""An input that is given another shape or another memory."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B31",
    "Shrinks or replaces an input with set_, resize_ or a stride of zero",
    guard="g.immutable",
    state="incorrect",
    said=r"memory, shape or layout changed of x",
)
VARIANTS = ("resized", "replaced", "strided")
WAYS = {
    "resized": "x.resize_(1, x.shape[1])",
    "replaced": "x.set_(x.clone())",
    "strided": "x.as_strided_(x.shape, (0, 1))",
}
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        {way}
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x.as_strided(x.shape, x.stride()))
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL.format(way=WAYS[variant]))


def honest(stage: Stage, variant: str) -> Finding:
    """A view of its own."""
    return stage.benched(HONEST)
