from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from capture.capture_toy import TARGETS, write_package
from overlay.toy_engine import write_pack
from profile_toy import ToyEngine, forget

from fk_overlay import catalog, packs
from fk_overlay.capture.engine_facts import EngineFacts
from fk_overlay.contract import store as contracts
from fk_overlay.contract.definition import find
from fk_overlay.core import BASELINE, Arm, Contract, Model, Request, Scenario, Task, Workload
from fk_overlay.profiling.run import Loads, Order

SLOW = """
import torch


class Layer:
    def forward_native(self, x):
        for _ in range(200):
            x = torch.sort(x)[0]
        return self.gate(x) * self.scale
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyEngine]:
    held = SimpleNamespace(FACTS=EngineFacts({"eager": 1}))
    monkeypatch.setitem(sys.modules, "fk_overlay.engines.toy.capturing", held)
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    root = tmp_path / "site"
    write_package(root)
    monkeypatch.syspath_prepend(str(root))
    finders = list(sys.meta_path)
    yield ToyEngine(root)
    sys.meta_path[:] = finders
    forget()


def requests(*lengths: int) -> list[Request]:
    return [Request(index, (5,) * length, 1) for index, length in enumerate(lengths)]


@pytest.fixture
def order(engine: ToyEngine, tmp_path: Path) -> Order:
    tasks = {}
    for name, target in TARGETS.items():
        folder = tmp_path / "tasks" / name
        folder.mkdir(parents=True)
        prints = {place: find(engine.root, place).fingerprint for place in target.places}
        contracts.write(folder, Contract("toy", "1.2.0", prints))
        tasks[name] = Task(name, "L1", "", (), (target,), folder=folder)
    scenario = Scenario("s", "", Model("none"), (Workload("w", 3, 1, 1),), engine_args={"toy": {"eager": 0}})
    loads = Loads(requests(4000, 4000, 6000), requests(8, 8, 8), requests(9), requests(1))
    return Order(engine, scenario, tmp_path, tasks, (Arm(BASELINE),), loads)


@pytest.fixture
def slow(tmp_path: Path) -> Arm:
    folder = write_pack(tmp_path, "slow", [("layer", "slow.py", "Layer")], slow=SLOW)
    return Arm("slow", (packs.trusted(catalog.load_pack(folder)),))
