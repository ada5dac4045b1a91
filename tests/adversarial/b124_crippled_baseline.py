"""A candidate whose package changes the baseline when it is merely there."""

from __future__ import annotations

from typing import Any

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from fakes.engine import Manner

HACK = Hack(
    "B124",
    "Cripples the baseline: its code or its settings reach the baseline's processes",
    guard="g.clean",
    state="invalid",
    said=r"^baseline launch \S+ ran a patch for norm|resolved settings are not the same in every launch",
)
VARIANTS = ("patched", "settings")


def hack(stage: Stage, variant: str) -> Finding:
    if variant == "settings":
        eager = Manner(config={"attention.backend": "toy", "enforce_eager": True})
        return stage.serve(_03__baseline=eager)

    def patched(said: Any) -> Any:
        place = {"row": 0, "task": "norm", "target": "toy.layers:Norm.forward_native", "seam": "method"}
        return {**said, "places": [place]}

    return stage.serve(baseline=Manner(says=patched))


def honest(stage: Stage, variant: str) -> Finding:
    return stage.serve()
