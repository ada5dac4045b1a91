"""A result that the next call completes."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B62",
    "Defers the work to the next call",
    guard="g.poison",
    also=("g.recheck", "g.variation"),
    state="incorrect",
    said=r"of a result is what its memory held before|result 0: ",
)
KERNEL = """
due = []


class Norm:
    def forward(self, x):
        for layer, earlier, out in due:
            out.copy_(right(layer, earlier))
        out = torch.empty_like(x)
        due[:] = [(self, x.clone(), out)]
        return out
"""
HONEST = """
class Norm:
    def forward(self, x):
        out = torch.empty_like(x)
        for layer, now, place in [(self, x, out)]:
            place.copy_(right(layer, now))
        return out
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
