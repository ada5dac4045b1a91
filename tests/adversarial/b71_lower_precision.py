"""A float32 kernel that computes in less."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B71",
    "Accumulates in a coarser dtype than the task's",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
VARIANTS = ("bfloat16", "float16")
KERNEL = """
class Norm:
    def forward(self, x):
        coarse = x.to(torch.{dtype})
        scale = torch.rsqrt(coarse.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (coarse * scale).to(x.dtype) * self.weight
"""
HONEST = """
class Norm:
    def forward(self, x):
        wide = x.double()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * self.weight
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL.format(dtype=variant))


def honest(stage: Stage, variant: str) -> Finding:
    """More than was asked for."""
    return stage.benched(HONEST)
