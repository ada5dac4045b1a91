"""An engine that lives in this process, for profiles: torch's profiler runs for real, around a toy model's calls."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from capture.capture_toy import PACKAGE, ToyHost

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import Facts, Launch, PassResult, Trace
from fk_overlay.overlay.imports import Watcher
from fk_overlay.overlay.loader import load
from fk_overlay.overlay.ranged import Ranged
from fk_overlay.overlay.receipts import Receipt
from fk_overlay.overlay.seams import method
from fk_overlay.overlay.tally import Tally
from fk_overlay.plan import Plan

torch.set_num_threads(1)


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@dataclass
class ToyEngine:
    """Its sessions are single ranks of a toy model; every request is one call of it with as many ones as the prompt has
    tokens."""

    root: Path
    name: str = "toy"
    starts: list[Launch] = field(default_factory=list)
    stopped: int = 0
    error: str | None = None
    listening: bool = True
    broken: bool = False

    def version(self) -> str:
        return "1.2.0"

    def source_root(self) -> Path:
        return self.root

    def start(self, launch: Launch) -> ToySession:
        self.starts.append(launch)
        return ToySession(self, launch)

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        return []


class ToySession:
    pids: Sequence[int] = ()
    peak_bytes = 0

    def __init__(self, engine: ToyEngine, launch: Launch) -> None:
        self._engine = engine
        plan = Plan.read(launch.plan)
        assert plan.profile is not None
        forget()
        receipt = Receipt(plan.receipts, role="worker", engine="toy", version="1.2.0", places=0)
        receipt.say(rank=0, world_size=1, loaded=True, config={})
        watcher = Watcher()
        for swap in plan.swaps:
            watcher.after(
                swap.target.module,
                lambda module, swap=swap: method.swap(module.Layer, "forward_native", load(swap), Tally(None, 0)),
            )
        host: Any = ToyHost(engine.root)
        self.ranged = Ranged(host, plan.profile, plan.swaps)
        self.ranged.arrange(watcher, nullcontext)
        if engine.listening:
            self.ranged.profiler.begin(0)
        self.layers = importlib.import_module(f"{PACKAGE}.layers")
        self.model = self.layers.ModelForCausalLM()
        self.user = importlib.import_module(f"{PACKAGE}.user")

    def wait_ready(self, timeout_s: float) -> None:
        self.model(torch.ones(99))

    def facts(self) -> Facts:
        return Facts()

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        for request in requests:
            self.layers.negative(self.user.double(self.model(torch.ones(len(request.prompt)))))
        error = self._engine.error
        return PassResult(tuple(Trace(each.index, 0.0, (1.0,), (7,), error=error) for each in requests), 1.0)

    def stop(self) -> None:
        self._engine.stopped += 1
