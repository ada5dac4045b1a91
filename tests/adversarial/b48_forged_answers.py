"""Results that are printed, or written to descriptors found open."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B48",
    "Prints made-up results or writes them to an inherited descriptor",
    guard="g.outproc",
    state="invalid",
    said=r"its answers cannot be believed",
)
VARIANTS = ("descriptors",)
KERNEL = """
import json
import os

said = dict.fromkeys(("results", "names", "moved", "overrun"), [])
forged = json.dumps({**said, "seconds": 1e-9, "late_s": 0, "single": True, "arguments": {}})


class Norm:
    def forward(self, x):
        for number in range(3, 64):
            try:
                os.write(number, forged.encode() + b"\\n")
            except OSError:
                continue
        return right(self, x)
"""
HONEST = """
class Norm:
    def forward(self, x):
        print('{"seconds": 1e-9, "nonce": "guess"}', flush=True)
        return right(self, x)
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage, variant: str) -> Finding:
    """What is printed goes to the log and counts for nothing."""
    return stage.benched(HONEST)
