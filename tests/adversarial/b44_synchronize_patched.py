"""A synchronisation that returns at once."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B44",
    "Makes the device's synchronisation do nothing",
    guard="g.integrity",
    state="invalid",
    said=r"^functions changed: torch\.cuda\.synchronize",
)
KERNEL = """
torch.cuda.synchronize = lambda *args: None


class Norm:
    def forward(self, x):
        return right(self, x)
"""
HONEST = """
synchronize = torch.cuda.synchronize


class Norm:
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
