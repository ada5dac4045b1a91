"""A kernel that assumes how its data are distributed: rows of unit variance."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B87",
    "Assumes a distribution: balanced experts, short contexts, unit variance",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
    part="routing and context lengths: captured values, replayed by the bench",
)
KERNEL = """
known = []


class Norm:
    def forward(self, x):
        known or known.append(torch.rsqrt(x.float().pow(2).mean() + 1e-6))
        return (x.float() * known[0]).to(x.dtype) * self.weight
"""
HONEST = """
class Norm:
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
