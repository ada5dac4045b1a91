"""The bench, opened once for all kernels of the suite, on the toy engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from adversarial.frame import Finding
from adversarial.toy_place import TOYS

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.calling import Mode
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.capture.store import Case
from fk_overlay.core import Task

PLACE = Place("adversarial.toy_place:HOST", "adversarial.toy_place:WORKBENCH")
QUICK = Design(warm_up=3, iterations=12, rounds=2, processes=1, minimum_effect=0.5)
THOROUGH = replace(QUICK, iterations=80)
"""Few calls: a cheat is not about time. Whatever passes is neutral within a half."""
PREAMBLE = """
import torch


def right(layer, x):
    wide = x.float()
    square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square() / x.shape[-1]
    return (wide * torch.rsqrt(square + 1e-6)).to(x.dtype) * layer.weight


"""
SYMBOLS = {"norm": "Norm", "add": "add_into", "mix": "mix", "pick": "pick"}


def tasks() -> dict[str, Task]:
    return {path.parent.name: catalog.load_task(path) for path in TOYS.glob("tasks/L1/*/task.toml")}


def environment() -> dict[str, str]:
    """What lets an arm import the toy engine and this folder's modules."""
    places = [str(TOYS), str(TOYS.parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, places))}


@dataclass
class Tier1:
    """An open bench. A kernel that was judged is not judged again."""

    bench: Bench
    cases: Mapping[str, Case]
    known: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def judge(self, kernel: str, case: str, folder: Path, thorough: bool, mode: Mode) -> Finding:
        key = kernel, case, mode
        if key not in self.known:
            design = replace(THOROUGH if thorough else QUICK, mode=mode)
            self.known[key] = self._judged(kernel, self.cases[case], folder, design)
        return self.known[key]

    def _judged(self, kernel: str, case: Case, folder: Path, design: Design) -> Finding:
        task = self.bench.tasks[case.task]
        (folder / "kernel.py").write_text(PREAMBLE + kernel)
        entry = f'[[patch]]\ntask = "{task.name}"\nfile = "kernel.py"\nsymbol = "{SYMBOLS[task.name]}"\n'
        (folder / "pack.toml").write_text(f'name = "cheat"\nsummary = "one kernel"\n{entry}')
        pack = self.bench.frozen(catalog.load_pack(folder))
        verdict = judge(self.bench, case, task, pack, design)
        return Finding(verdict.state, verdict.reasons, verdict.guard)
