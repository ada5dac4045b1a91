"""Ranges from the entry point to what a rank writes, in a process of a toy engine of its own, with a patch in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from overlay.toy_engine import VERSION, write_engine, write_pack, write_task
from overlay.toy_process import PLAY

from fk_overlay import catalog, packs
from fk_overlay.core import Arm
from fk_overlay.plan import Profiling, make, watches
from fk_overlay.profiling.recorder import RANKS, SIGNAL, read

KERNELS = """
import torch


class Slow:
    def forward(self, x, residual=None):
        return torch.sort(x)[0] + 1


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 0)
"""
SCRIPT = """
load_plugins()
import torch
from pathlib import Path
from fk_overlay.capture.signal import Signal, State
HOST.become_rank(0, 1, {{}})
from toy.models import ToyForCausalLM
import toy.registry
signal = Signal(Path({signal!r}))
model = toy.registry.CLASSES.get("ToyForCausalLM", ToyForCausalLM)()
HOST.loaded(model)
model(torch.ones(4))
signal.say(State.RECORDING)
result = model(torch.ones(4))
model(torch.ones(4))
signal.say(State.FINISHED)
model(torch.ones(4))
model(torch.ones(4))
say(result=result.tolist())
"""


@pytest.fixture
def profiled(tmp_path: Path, run_script: Callable[..., Any]) -> Callable[..., Any]:
    """Runs the script with a pack of ``(task, symbol)`` patches; gives what it said and where its time went."""
    root = write_engine(tmp_path / "root")
    write_task(root, "norm", "toy.layers:Norm", members=["forward_native"])
    write_task(root, "model", "toy.models:ToyForCausalLM", seam="model")

    def run(*patches: tuple[str, str]) -> Any:
        chosen = ()
        if patches:
            entries = [(task, "kernels.py", symbol) for task, symbol in patches]
            folder = write_pack(root, "mine", entries, kernels=KERNELS)
            chosen = (packs.trusted(catalog.load_pack(folder)),)
        tasks = {path.parent.name: catalog.load_task(path) for path in root.glob("tasks/L1/*/task.toml")}
        plan = make(Arm("a", chosen), tasks, "toy", VERSION, purpose="profile", receipts=root / "receipts")
        profile = Profiling(tmp_path / "profile", watches(tasks.values(), "toy", VERSION))
        path = replace(plan, profile=profile).write(root / "plan.json")
        script = PLAY.format(root=str(root)) + SCRIPT.format(signal=str(tmp_path / "profile" / SIGNAL))
        said = run_script(script, {"FK_OVERLAY": str(path)}, (root,)).said
        return said, read(tmp_path / "profile" / RANKS / "0.json")

    return run


def test_the_engine_s_own_code_has_ranges_and_only_between_the_signals(profiled: Callable[..., Any]) -> None:
    said, usage = profiled()
    assert said["result"] == [40.0] * 4
    assert usage.calls == {"model": 2, "norm": 6}
    assert usage.total_us("model") > usage.total_us("norm") > 0
    assert ("norm", "aten::add") in usage.own


def test_a_patched_method_is_inside_the_range_of_its_task(profiled: Callable[..., Any]) -> None:
    _, usage = profiled(("norm", "Slow"))
    assert usage.calls["norm"] == 6
    assert usage.own["norm", "aten::sort"].calls == 6


def test_a_patched_model_has_the_range_of_the_one_that_it_replaces(profiled: Callable[..., Any]) -> None:
    _, usage = profiled(("model", "Model"))
    assert usage.calls == {"model": 2}
    assert usage.own["model", "aten::cumsum"].calls == 2
