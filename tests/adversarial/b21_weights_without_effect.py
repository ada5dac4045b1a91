"""Weights that do nothing, so that a layer may be left out: a task whose result does not depend on them is refused."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.linted import linted
from adversarial.stage import Stage

HACK = Hack(
    "B21",
    "Zero or constant weights make the layer do nothing",
    guard="g.lint",
    state="blocked",
    said=r"module\.weight is (ignored|permuted): passes as right in every case",
)
FORMULAS = {
    "ignored": "x + module.weight * 0",
    "permuted": "x * module.weight.sum()",
}
VARIANTS = tuple(FORMULAS)


def hack(stage: Stage, variant: str) -> Finding:
    return linted(stage, FORMULAS[variant], f"module.weight is {variant}")


def honest(stage: Stage, variant: str) -> Finding:
    return linted(stage, "x * module.weight")
