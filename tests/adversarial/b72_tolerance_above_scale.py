"""A tolerance larger than the results: everything passes, so the task is refused."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.linted import linted
from adversarial.stage import Stage

from fk_overlay.core import Tolerance

HACK = Hack(
    "B72",
    "Profits from a tolerance that is larger than the results",
    guard="g.lint",
    state="blocked",
    said=r"result 0 is zeros: passes as right in every case",
)


def hack(stage: Stage) -> Finding:
    return linted(stage, "x * module.weight * 1e-3", "result 0 is zeros", Tolerance(rtol=1e-5, atol=0.1))


def honest(stage: Stage) -> Finding:
    """Small results under a tolerance of their own size."""
    return linted(stage, "x * module.weight * 1e-3", tolerance=Tolerance(rtol=1e-5, atol=1e-9))
