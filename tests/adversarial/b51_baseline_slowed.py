"""A candidate that leaves something behind which slows every later launch of the baseline."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, THOROUGH, Stage
from fakes.engine import Manner

HACK = Hack(
    "B51",
    "Slows the baseline down: state left behind, a memory hog, heat",
    guard="g.clean",
    state="invalid",
    said=r"^the baseline is 2\d\.\d % slower since the candidate first ran",
)


def hack(stage: Stage) -> Finding:
    """The baseline's first launch was before any candidate's; the later ones suffer."""
    slowed = Manner(pace=lambda session, requests: 1.0 if session.launch.name == "00-baseline" else 0.75)
    return stage.serve(THOROUGH, baseline=slowed, fast=Manner())


def honest(stage: Stage) -> Finding:
    """A machine whose launches differ by a percent."""
    return stage.serve(THOROUGH, baseline=Manner(sd=0.01), fast=Manner(speed=FAST.speed, sd=0.01))
