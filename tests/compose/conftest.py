from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.engine import FakeEngine
from overlay.toy_engine import write_engine, write_task
from workshop import TASKS, Workshop

from fk_overlay.serving import judge, launch, machine


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """Afterwards every session that was started must have been stopped, exactly once."""
    kernels = "".join(f"def {task}(x):\n    return x\n\n\n" for task in TASKS)
    root = write_engine(tmp_path / "toys", kernels=kernels)
    for task in TASKS:
        write_task(root, task, f"toy.kernels:{task}", seam="function")
    monkeypatch.setenv("FK_OVERLAY_PATH", str(root))
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    for module in (machine, launch):
        monkeypatch.setattr(module, "gpus", list)
    monkeypatch.setattr(machine, "uuids", tuple)
    monkeypatch.setattr(judge, "names", tuple)
    made = Workshop(root, FakeEngine(root), tmp_path / "composition")
    yield made
    assert [session.stops for session in made.engine.sessions] == [1] * len(made.engine.sessions)
