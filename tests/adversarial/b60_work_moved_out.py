"""Work that is done while the model loads, or in calls that nobody times."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes_records import Story, set_

HACK = Hack(
    "B60",
    "Moves work to import, load_weights or the first call",
    guard="g.memory",
    state="resource_regression",
    said=r"^loading takes at least 300 s, \d\.\d times as long as the baseline's",
    part="preparing weights at load is allowed and charged; more than the scenario's limit is a regression",
)


def hack(stage: Stage) -> Finding:
    return stage.told(Story().but(set_("launch", {"load_s": 300.0}, arm="fused-norm")))


def honest(stage: Stage) -> Finding:
    """Weights packed anew in a few seconds."""
    return stage.told(Story().but(set_("launch", {"load_s": 50.0}, arm="fused-norm")))
