"""A recorder and both ends of it in one process."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fk_overlay.capture import store
from fk_overlay.capture.recorder import RANKS, SIGNAL, Recorder
from fk_overlay.capture.signal import Signal, State
from fk_overlay.core import Target
from fk_overlay.plan import Recording, Watch

torch.set_num_threads(1)
FACTS = {
    "engine": "toy",
    "engine_version": "1.2.0",
    "model": "none",
    "scenario": "by-hand",
    "contracts": {},
    "graph_sizes": [1, 2, 4],
}


@dataclass
class Desk:
    """A recorder in this process, and the other end of its signal."""

    folder: Path
    samples: int = 2
    budget_bytes: int = 1 << 20
    module_bytes: int = 1 << 20
    watches: list[Watch] = field(default_factory=list)
    _recorder: Recorder | None = None

    def watch(self, path: str, *, task: str = "toy", values: tuple[str, ...] = ()) -> Watch:
        """A watch on one method (``module:Class.method``) or function (``module:function``)."""
        owner, _, member = path.rpartition(".")
        seam = "method" if "." in path.partition(":")[2] else "function"
        target = Target("toy", ">=1", owner if seam == "method" else path, seam, (member,) if seam == "method" else ())
        self.watches.append(Watch(task, target, values, {}))
        return self.watches[-1]

    @property
    def recorder(self) -> Recorder:
        if self._recorder is None:
            limits = {name: getattr(self, name) for name in ("samples", "budget_bytes", "module_bytes")}
            self._recorder = Recorder(Recording(self.folder, tuple(self.watches), **limits))
            self._recorder.begin(0, 1)
        return self._recorder

    def say(self, state: State) -> None:
        Signal(self.folder / SIGNAL).say(state)

    def stop(self) -> None:
        if self._recorder is not None:
            self.say(State.FINISHED)

    def finish(self) -> store.Capture:
        """What was recorded, written and read back."""
        self.say(State.FINISHED)
        said = self.folder / RANKS / "0.json"
        deadline = time.monotonic() + 10
        while not said.is_file():
            assert time.monotonic() < deadline, [path.read_text() for path in said.parent.glob("*.error")]
            time.sleep(0.01)
        found = json.loads(said.read_text())
        store.write(self.folder, {**FACTS, "modules": {"0": found["modules"]}}, found["rows"], "jsonl")
        return store.read(self.folder)


class Norm(torch.nn.Module):
    """A module with a weight, a layer number and a method that calls another of its own."""

    def __init__(self, size: int, layer_idx: int = 0, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(size, dtype=torch.float32))
        self.register_parameter("bias", None)
        self.layer_idx, self.eps = layer_idx, eps

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        return self.native(x, residual)

    def native(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        if residual is None:
            return x * self.weight
        residual += x
        return residual * self.weight, residual
