"""A whole run with a fake engine: :class:`Workplace` makes it, :func:`records` reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fakes.engine import FakeEngine, Manner
from overlay.toy_engine import write_engine, write_pack, write_task

from fk_overlay.core import Correctness, Design, Mode, Model, Scenario, Verdict, Workload
from fk_overlay.lineage.record import read
from fk_overlay.serving import judge, launch, machine
from fk_overlay.serving.judge import Order, candidates

TINY = Path(__file__).parents[1] / "models" / "tiny-llama"
CLOSED = Workload("chat", requests=4, input_len=8, output_len=16, concurrency=4)
KERNEL = {"kernel": "class Norm:\n    def forward(self, x, residual=None):\n        return x + 1\n"}


@dataclass
class Workplace:
    """Packs, scenario and engine of a run, and the run's folder."""

    root: Path
    engine: FakeEngine
    folder: Path
    design: Design = field(default_factory=lambda: Design(3, 1))
    mode: Mode = "decide"
    packs: tuple[str, ...] = ("fast",)
    control: bool = False
    warm_up_passes: int = 0
    workloads: tuple[Workload, ...] = (CLOSED,)
    told: list[tuple[str, int, int]] = field(default_factory=list)

    def scenario(self) -> Scenario:
        rules = Correctness(requests=2, logprobs=2)
        made = Scenario("toy", "toy", Model(str(TINY)), self.workloads, correctness=rules, minimum_effect=0.01)
        return replace(made, warm_up_passes=self.warm_up_passes)

    def order(self) -> Order:
        for name in self.packs:
            if not (self.root / "patches" / name).is_dir():
                write_pack(self.root, name, [("norm", "kernel.py", "Norm")], **KERNEL)
        folders = [self.root / "patches" / name for name in self.packs]
        arms = candidates(folders, self.engine, control=not self.packs or self.control)
        return Order(self.engine, self.scenario(), arms, self.mode, self.design)

    def run(self, **manners: Manner) -> list[Verdict]:
        self.engine.manners = {name.replace("__", "-").lstrip("_"): manner for name, manner in manners.items()}
        return judge.run(self.order(), self.folder, lambda *what: self.told.append(what))

    def records(self, kind: str, **wanted: Any) -> list[Mapping[str, Any]]:
        return [
            record
            for record in read(self.folder)
            if record["kind"] == kind and all(record.get(key) == value for key, value in wanted.items())
        ]

    def closed(self) -> list[str]:
        return [record["launch"] for record in self.records("launch")]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """Afterwards every session that was started must have been stopped, exactly once."""
    root = write_engine(tmp_path / "toys")
    write_task(root, "norm", "toy.layers:Norm", members=["forward_native"])
    monkeypatch.setenv("FK_OVERLAY_PATH", str(root))
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    for module in (machine, launch):
        monkeypatch.setattr(module, "gpus", list)
    monkeypatch.setattr(machine, "uuids", tuple)
    monkeypatch.setattr(judge, "names", tuple)
    workplace = Workplace(root, FakeEngine(root), tmp_path / "run")
    yield workplace
    assert [session.stops for session in workplace.engine.sessions] == [1] * len(workplace.engine.sessions)
