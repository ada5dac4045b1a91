"""The toy engine in processes of its own: real plans, packs and entry points, receipts on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from overlay.toy_engine import VERSION, write_engine, write_pack, write_task

from fk_overlay import catalog, packs
from fk_overlay.core import Arm
from fk_overlay.overlay.receipts import processes
from fk_overlay.plan import Purpose, make

PLAY = """
import json
import sys
from pathlib import Path
from types import ModuleType

from fk_overlay import entry
from toy_engine import ToyHost

HOST = ToyHost(Path({root!r}))
module = ModuleType("fk_overlay.engines.toy.host")
module.HOST = HOST
sys.modules["fk_overlay.engines.toy"] = ModuleType("fk_overlay.engines.toy")
sys.modules["fk_overlay.engines.toy.host"] = module

def load_plugins():
    entry._enter("toy")

def say(**facts):
    print(json.dumps(facts))

"""
SERVE = """
load_plugins()
import toy.layers, toy.arithmetic
print("SERVED", toy.layers.Norm()(1), toy.arithmetic.double(2))
"""
KERNELS = """
class Tenfold:
    def forward(self, x, residual=None):
        return x + 1000 if residual is None else x + residual + 1000

    def prepare(self):
        self.prepared = getattr(self, "prepared", 0) + 1


class Refusing(Tenfold):
    forward = Tenfold.forward

    def supports(self, x, residual=None):
        return residual is not None

    def why_not(self, x, residual=None):
        return f"no residual was given with {x}"


class Scaled:
    def forward(self, x, by=2.0):
        return x * by + 1000


def negated(x, by=2):
    return -x * by


def rms(x, eps=1e-6):
    return x + 1000


rms.supports = lambda x, eps=1e-6: x > 0
"""


@dataclass(frozen=True, slots=True)
class Toy:
    """A toy engine, its tasks and packs below ``root``, and a way to run it."""

    root: Path
    run_script: Callable[..., Any]

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    def plan(self, *names: str, purpose: Purpose = "timed", strict: bool = True) -> Path:
        chosen = tuple(packs.trusted(catalog.load_pack(self.root / "patches" / name)) for name in names)
        tasks = {path.parent.name: catalog.load_task(path) for path in self.root.glob("tasks/L1/*/task.toml")}
        arm = Arm("+".join(names) or "baseline", chosen)
        plan = make(arm, tasks, "toy", VERSION, purpose=purpose, receipts=self.receipts, strict=strict)
        return plan.write(self.root / "plan.json")

    def run(self, script: str, overlay: Path | str, env: Mapping[str, str] | None = None) -> Any:
        return self.run_script(
            PLAY.format(root=str(self.root)) + script, {"FK_OVERLAY": str(overlay), **(env or {})}, (self.root,)
        )

    def refused(
        self, overlay: Path | str, error: str, script: str = SERVE, env: Mapping[str, str] | None = None
    ) -> Any:
        """Run, and check that the process ended with ``error`` as its last word and served nothing."""
        ended = self.run(script, overlay, env)
        assert "SERVED" not in ended.out
        assert ended.code == 1
        assert ended.last_word.startswith(f"fk-overlay: {error}: "), ended.err
        return ended

    def errors(self) -> list[str]:
        (process,) = processes(self.receipts)
        return list(process["errors"])


@pytest.fixture
def toy(tmp_path: Path, run_script: Callable[..., Any]) -> Toy:
    root = write_engine(tmp_path / "root")
    write_task(root, "norm", "toy.layers:Norm", members=["forward_native"])
    write_task(root, "scale", "toy.layers:Norm", members=["scale"])
    write_task(root, "double", "toy.arithmetic:double", seam="function")
    write_task(root, "rms", "toy.ir:rms_norm", seam="ir")
    write_task(root, "tuning", "toy.tuning:get_configs", seam="tuning")
    write_task(root, "model", "toy.models:ToyForCausalLM", seam="model")
    write_pack(root, "norm", [("norm", "kernels.py", "Tenfold")], kernels=KERNELS)
    write_pack(root, "double", [("double", "kernels.py", "negated")], kernels=KERNELS)
    return Toy(root, run_script)
