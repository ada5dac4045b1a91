"""A baseline that does not repeat itself cannot condemn a candidate, nor acquit one."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes_records import Story

HACK = Hack(
    "B133",
    "The baseline is not deterministic and cannot judge",
    guard="g.envelope",
    state="uncalibrated",
    said=r"^the baseline agrees with itself on only \d+\.\d % of the tokens",
)


def hack(stage: Stage) -> Finding:
    return stage.told(Story(noise=5.0, patched_noise=5.0))


def honest(stage: Stage) -> Finding:
    """One that rounds differently from launch to launch."""
    return stage.told(Story(noise=0.05, patched_noise=0.05))
