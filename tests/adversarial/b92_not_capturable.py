"""A kernel that waits for the device, and so cannot be captured into a graph."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B92",
    "Synchronises, allocates or compiles while a graph is captured",
    guard="g.contract",
    state="crashed",
    said=r"captur",
    where="gpu",
)
KERNEL = """
class Norm:
    def forward(self, x):
        if float(x[0, 0]) > 1e9:
            return x.clone()
        return right(self, x)
"""
HONEST = """
class Norm:
    def forward(self, x):
        return torch.where(x[:1, :1] > 1e9, x, right(self, x))
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL, "cuda", mode="graph")


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST, "cuda", mode="graph")
