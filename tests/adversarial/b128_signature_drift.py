"""An engine release in which the target takes other arguments."""

from __future__ import annotations

from adversarial.b127_target_gone import edited
from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B128",
    "The target's signature changed",
    guard="g.contract",
    state="blocked",
    said=r"^ContractError: [^\n]*\n  toy\.layers:Norm\.forward_native: changed: \+\{scale\}",
)


def hack(stage: Stage) -> Finding:
    return edited(stage, "forward_native(self, x, residual=None)", "forward_native(self, x, scale, residual=None)")


def honest(stage: Stage) -> Finding:
    """A comment was added to it."""
    return edited(stage, "return x + 1 if", "# adds one\n        return x + 1 if")
