"""A kernel that is slow at first, so that an adaptive loop measures it less often."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B47", "Is slow while counts are being decided", guard="g.recheck", state="incorrect", said=r"call \d+: result 0: "
)
KERNEL = """
import time

calls = [0]


class Norm:
    def forward(self, x):
        calls[0] += 1
        if calls[0] <= 3:
            time.sleep(0.05)
        return right(self, x) if calls[0] <= 8 else right(self, x) * 1.01
"""
HONEST = """
import time

calls = [0]


class Norm:
    def forward(self, x):
        calls[0] += 1
        if calls[0] <= 2:
            time.sleep(0.02)
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    """The later calls, of which an adaptive loop would see few, are wrong; counts here are fixed beforehand."""
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Slow at first, as what is compiled at first use is."""
    return stage.benched(HONEST)
