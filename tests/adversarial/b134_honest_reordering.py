"""A kernel that adds up in another order: equal bits would reject it, the envelope does not."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes_records import Story

HACK = Hack(
    "B134",
    "An honest reordering is rejected by a bound that is too tight",
    guard="g.envelope",
    state="incorrect",
    said=r"of the forced decode changed although the baseline was sure",
)


def hack(stage: Stage) -> Finding:
    """What the bound must still reject: an error twenty times that of rounding."""
    return stage.told(Story(noise=0.01, patched_noise=1.0))


def honest(stage: Stage) -> Finding:
    """Split sums in bfloat16 move logits by more than the baseline's launches differ from each other."""
    return stage.told(Story(noise=0.01, patched_noise=0.05))
