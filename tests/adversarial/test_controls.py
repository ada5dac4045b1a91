"""Honest kernels pass, whatever they have in common with cheats."""

from __future__ import annotations

import pytest
from adversarial.controls import CONTROLS
from adversarial.frame import PASSED
from adversarial.stage import Stage

EVERY = [
    pytest.param(name, marks=[pytest.mark.gpu] if control.gpu else [], id=name) for name, control in CONTROLS.items()
]


@pytest.mark.parametrize("name", EVERY)
def test_an_honest_kernel_passes(name: str, stage: Stage) -> None:
    control = CONTROLS[name]
    finding = stage.benched(control.kernel, control.case)
    assert finding.state in PASSED, finding.reasons


def test_a_kernel_that_takes_no_call_of_a_case_is_told_so(stage: Stage) -> None:
    """The partial one, on a dtype that it leaves to the engine: no merit, and no reproach."""
    finding = stage.benched(CONTROLS["partial"].kernel, "bfloat16")
    assert (finding.state, finding.guard) == ("unsupported", "")
