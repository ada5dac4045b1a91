"""An error too small for any elementwise bound that adds up over layers and tokens."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes_records import Story

HACK = Hack(
    "B77",
    "A tiny systematic bias passes per operator and breaks the model",
    guard="g.envelope",
    state="incorrect",
    said=r"tokens? of the forced decode changed although the baseline was sure",
)


def hack(stage: Stage) -> Finding:
    """Every margin moves by over a nat, as errors of half a percent a layer do over a deep model."""
    return stage.told(Story(patched_noise=1.2))


def honest(stage: Stage) -> Finding:
    """Other rounding than the baseline's, half as much again."""
    return stage.told(Story(noise=0.02, patched_noise=0.03))
