"""A first call that computes the answers to every input it can find, and later calls that hand them out."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B09",
    "Computes all future answers in one call and hands them out",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
KERNEL = """
import gc

banks = {}


class Norm:
    def forward(self, x):
        bank = banks.setdefault(x.shape, [])
        if not bank:
            found = [each for each in gc.get_objects() if type(each) is torch.Tensor and each.shape == x.shape]
            bank.extend(right(self, each) for each in [x, *found])
        bank.append(bank.pop(0))
        return bank[-1].clone()
"""
HONEST = """
class Norm:
    def forward(self, x):
        return torch.stack([right(self, row) for row in x])
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
