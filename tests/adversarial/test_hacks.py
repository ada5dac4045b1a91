"""Every cheat of this folder is caught by its guard, and its honest twin is not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from adversarial.frame import GUARDS, PASSED, Finding, scenes
from adversarial.stage import Stage

MARKS = {"engine": [pytest.mark.engine], "gpu": [pytest.mark.gpu], "cpu": []}
SCENES = [
    pytest.param(module, variant, id=f"{number}{'-' + variant if variant else ''}", marks=MARKS[module.HACK.where])
    for number, module in scenes().items()
    for variant in getattr(module, "VARIANTS", ("",))
]


def played(scene: Any, stage: Stage, variant: str) -> Finding:
    found: Finding = scene(stage, variant) if variant else scene(stage)
    return found


@pytest.mark.parametrize(("module", "variant"), SCENES)
def test_the_cheat_is_caught_by_its_guard(module: Any, variant: str, stage: Stage) -> None:
    hack, finding = module.HACK, played(module.hack, stage, variant)
    assert {hack.guard, *hack.also} <= {*GUARDS, ""}
    assert finding.state == hack.state, finding.reasons
    assert finding.guard in ("", hack.guard, *hack.also), finding.reasons
    assert re.search(hack.said, finding.reasons[0]), finding.reasons


@pytest.mark.parametrize(("module", "variant"), SCENES)
def test_the_honest_twin_passes(module: Any, variant: str, stage: Stage) -> None:
    finding = played(module.honest, stage, variant)
    assert finding.state in PASSED, finding.reasons
    assert finding.guard == ""
