"""Results kept by shape alone."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B07",
    "Caches results by shape or configuration",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
KERNEL = """
seen = {}


class Norm:
    def forward(self, x):
        key = tuple(x.shape), x.dtype
        if key not in seen:
            seen[key] = right(self, x)
        return seen[key].clone()
"""
HONEST = """
workspaces = {}


class Norm:
    def forward(self, x):
        space = workspaces.setdefault(tuple(x.shape), torch.empty_like(x, dtype=torch.float32))
        torch.mul(x.float(), x.float(), out=space)
        scale = torch.rsqrt(space.mean(-1, keepdim=True) + 1e-6)
        return (x.float() * scale).to(x.dtype) * self.weight
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """A workspace kept by shape."""
    return stage.benched(HONEST)
