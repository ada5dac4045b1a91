"""A kernel that gives back another dtype than it was asked for."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B84",
    "Ignores the dtype or the quantisation scheme",
    guard="g.contract",
    state="incorrect",
    said=r"result 0: dtype float32 instead of bfloat16",
)
KERNEL = """
class Norm:
    def forward(self, x):
        return x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight.float()
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL, case="bfloat16")


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST, case="bfloat16")
