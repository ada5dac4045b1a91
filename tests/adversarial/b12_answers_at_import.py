"""Answers made when the pack is imported, for inputs that were guessed."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B12",
    "Makes answers from the reference while it is imported",
    guard="g.recheck",
    state="incorrect",
    said=r"call \d+: result 0: ",
)
KERNEL = """
torch.manual_seed(0)
guess = torch.nn.functional.normalize(torch.randn(7, 64), dim=-1) * 8


class Norm:
    def forward(self, x):
        return (guess[: x.shape[0]] * self.weight).to(x.dtype) + 1e-3 * x
"""
HONEST = """
EPSILON = 1e-6


class Norm:
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
