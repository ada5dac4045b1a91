"""Results kept by the identity of a Python object, which is free to be used again."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B05",
    "Caches results by the identity of the tensor object",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
VARIANTS = ("tensor", "layer")
KERNEL = """
seen = {{}}


class Norm:
    def forward(self, x):
        key = id({of}), tuple(x.shape)
        if key not in seen:
            seen[key] = right(self, x)
        return seen[key].clone()
"""
HONEST = """
blocks = {{}}


class Norm:
    def forward(self, x):
        blocks.setdefault(id({of}), 128)
        return right(self, x)
"""
OF = {"tensor": "x", "layer": "self"}


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL.format(of=OF[variant]))


def honest(stage: Stage, variant: str) -> Finding:
    """A tuning choice kept for the layer."""
    return stage.benched(HONEST.format(of=OF[variant]))
