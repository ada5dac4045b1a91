"""Constants that pass where a task's results are nearly constant: such a task is refused before any kernel."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.linted import linted
from adversarial.stage import Stage

HACK = Hack(
    "B20",
    "Returns a constant where the task degenerates: zeros, a mean, a saturated softmax",
    guard="g.lint",
    state="blocked",
    said=r"result 0 is (zeros|its own mean|ones): passes as right in every case",
)
FORMULAS = {
    "zeros": "x * 1e-9 * module.weight",
    "mean": "(x * module.weight).mean(-1, keepdim=True).expand_as(x) * 1e-7 + 0.5",
    "ones": "torch.sigmoid(x.abs() * 1e3 + 1e3) * module.weight.div(module.weight)",
}
VARIANTS = tuple(FORMULAS)


def hack(stage: Stage, variant: str) -> Finding:
    return linted(stage, FORMULAS[variant], f"result 0 is {variant if variant != 'mean' else 'its own mean'}")


def honest(stage: Stage, variant: str) -> Finding:
    return linted(stage, "x * module.weight")
