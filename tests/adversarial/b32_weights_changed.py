"""Weights changed once, so that less work is right from then on."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B32",
    "Changes weights or buffers once (smaller, quantised)",
    guard="g.immutable",
    state="incorrect",
    said=r"^weights changed: \S+/weight",
)
KERNEL = """
class Norm:
    def forward(self, x):
        out = right(self, x)
        self.weight.data[-1] *= 1 + 2**-22
        return out
"""
HONEST = """
class Norm:
    def prepare(self):
        self.packed = self.weight.detach().clone().unsqueeze(0)

    def forward(self, x):
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (x.float() * scale).to(x.dtype) * self.packed
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Weights packed anew at load, beside the originals."""
    return stage.benched(HONEST)
