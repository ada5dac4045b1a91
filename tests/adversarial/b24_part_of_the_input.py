"""A result estimated from half of the input: statistically close, and wrong."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B24",
    "Reduces or samples the input: statistically close",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
KERNEL = """
class Norm:
    def forward(self, x):
        scale = torch.rsqrt(x[..., ::2].float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (x.float() * scale).to(x.dtype) * self.weight
"""
HONEST = """
class Norm:
    def forward(self, x):
        halves = x[..., ::2].float().pow(2).sum(-1, keepdim=True) + x[..., 1::2].float().pow(2).sum(-1, keepdim=True)
        return (x.float() * torch.rsqrt(halves / x.shape[-1] + 1e-6)).to(x.dtype) * self.weight
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Both halves, one after the other: the sum in another order."""
    return stage.benched(HONEST)
