"""Tasks made up for ``task lint``: a formula of ``x`` and ``module.weight``, and a tolerance."""

from __future__ import annotations

from adversarial.frame import Finding
from adversarial.stage import Stage

from fk_overlay.core import Task, Tolerance
from fk_overlay.integrity.discriminate import lint

REFERENCE = """
from types import SimpleNamespace
import torch
from fk_overlay.core import Case
from fk_overlay.integrity.draw import Draw


def reference(module, x):
    return {formula}


def samples(seed, dtype, device="cpu"):
    draw = Draw(seed, dtype, device)
    for rows in (2, 7):
        yield Case(SimpleNamespace(weight=draw.normal(9, mean=2.0)), (draw.normal(rows, 9),))
"""
TIGHT = Tolerance(rtol=1e-5, atol=1e-6)


def linted(stage: Stage, formula: str, wanted: str = "", tolerance: Tolerance = TIGHT) -> Finding:
    """What ``task lint`` says of a task. The problem whose probe is ``wanted`` comes first, if it is there."""
    (stage.tmp_path / "reference.py").write_text(REFERENCE.format(formula=formula))
    task = Task("toy", "L1", "A toy.", ("dense",), (), tolerance={"float32": tolerance}, folder=stage.tmp_path)
    problems = sorted(lint(task), key=lambda problem: problem.probe != wanted)
    reasons = [f"{problem.probe}: {problem.detail}" for problem in problems]
    return Finding("blocked" if problems else "passed", reasons, "g.lint" if problems else "")
