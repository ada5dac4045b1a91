"""A kernel that compiles or tunes itself while it is timed."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B68",
    "Compiles or tunes under the clock, or for one arm only",
    guard="g.integrity",
    state="invalid",
    said=r"it did what no call needs: .*(program|process|subprocess|spawn|fork)",
)
KERNEL = """
import subprocess

calls = [0]


class Norm:
    def forward(self, x):
        calls[0] += 1
        if calls[0] == {when}:
            subprocess.run(["true"], check=True)
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    """A compiler that is started in the seventh call, when the clock runs."""
    return stage.benched(KERNEL.format(when=7))


def honest(stage: Stage) -> Finding:
    """One that is started in the first: both arms have the same warm-up."""
    return stage.benched(KERNEL.format(when=1))
