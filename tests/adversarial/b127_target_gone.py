"""An engine release in which the target is not there any more."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage, refusal

HACK = Hack(
    "B127",
    "The target is gone or was renamed",
    guard="g.contract",
    state="blocked",
    said=r"^ContractError: [^\n]*\n  toy\.layers:Norm\.forward_native: gone",
)


def edited(stage: Stage, old: str, new: str) -> Finding:
    """A run after the engine's source was changed."""
    stage.work.order()
    source = stage.work.root / "toy" / "layers.py"
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new))
    return refusal(lambda: stage.serve(fast=FAST))


def hack(stage: Stage) -> Finding:
    return edited(stage, "def forward_native", "def forward_plain")


def honest(stage: Stage) -> Finding:
    """Something else in the module has another name."""
    return edited(stage, "class Child(Norm)", "class Grandchild(Norm)")
