"""Recorders in the place of targets of a package on disk, through the overlay's seams."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from capture_toy import PACKAGE, SOURCE, TARGETS, ToyHost
from desk import Desk

from fk_overlay.capture.signal import State
from fk_overlay.contract.definition import find
from fk_overlay.errors import ContractError
from fk_overlay.overlay.imports import Watcher
from fk_overlay.overlay.recorded import Recorded
from fk_overlay.plan import Recording, Watch


def watches(root: Path) -> tuple[Watch, ...]:
    return tuple(
        Watch(task, target, (), {place: find(root, place).fingerprint for place in target.places})
        for task, target in TARGETS.items()
    )


@pytest.fixture
def layers(package: Path, desk: Desk) -> Any:
    """The toy's layers, imported after the recorders were arranged; the desk has the other end."""
    host: Any = ToyHost(package)
    recorded = Recorded(host, Recording(desk.folder, watches(package)))
    recorded.arrange(Watcher(), nullcontext)
    desk._recorder = recorded.recorder
    recorded.recorder.begin(0, 1)
    return importlib.import_module(f"{PACKAGE}.layers")


def test_every_seam_records(layers: Any, desk: Desk) -> None:
    user = importlib.import_module(f"{PACKAGE}.user")
    desk.say(State.RECORDING)
    assert torch.equal(layers.ModelForCausalLM()(torch.ones(2)), torch.full((2,), 6.0))
    assert torch.equal(user.double(torch.ones(2), by=5), torch.full((2,), 5.0))
    assert torch.equal(layers.negative(torch.ones(2)), -torch.ones(2))
    cases = {case.task: case for case in desk.finish().cases}
    assert {task: case.target.partition(":")[2] for task, case in cases.items()} == {
        "double": "double",
        "layer": "Layer.forward_native",
        "gate": "Layer.gate",
        "model": "ModelForCausalLM.forward",
        "negative": "negative",
    }
    assert [argument.name for argument in cases["gate"].signature] == ["x"]
    assert cases["double"].values().kwargs == {"by": 5}


def test_the_recipe_has_what_the_constructor_was_given(layers: Any, desk: Desk) -> None:
    desk.say(State.RECORDING)
    layers.Layer(4.0)(torch.ones(2))
    case = next(case for case in desk.finish().cases if case.task == "layer")
    module = case.modules[case.module]
    assert [(argument.name, argument.scalar) for argument in module.init] == [("scale", 4.0)]
    assert module.constructor == f"{PACKAGE}.layers:Layer"


def test_a_target_that_is_not_what_the_contract_says_is_refused(package: Path, desk: Desk) -> None:
    expected = watches(package)
    path = package / PACKAGE / "layers.py"
    path.write_text(SOURCE.replace("x * by\n\n\nclass Operator", "x + by\n\n\nclass Operator"))
    host: Any = ToyHost(package)
    with pytest.raises(ContractError, match="double: body"):
        Recorded(host, Recording(desk.folder, expected)).arrange(Watcher(), nullcontext)
