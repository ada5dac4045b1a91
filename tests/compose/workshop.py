"""Compositions with a fake engine in this process: what it does follows from the patches that its plan puts in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.engine import FakeEngine, Manner
from overlay.toy_engine import write_pack

from fk_overlay.compose import run
from fk_overlay.compose.outcome import Composition, Dropped
from fk_overlay.core import Correctness, Design, Mode, Model, Scenario, Workload
from fk_overlay.lineage.record import read
from fk_overlay.plan import Plan
from fk_overlay.serving import judge

TINY = Path(__file__).parents[1] / "models" / "tiny-llama"
CHAT = Workload("chat", requests=4, input_len=8, output_len=16, concurrency=4)
TASKS = "abcdefgh"
Behave = Callable[[frozenset[str]], Manner]


@dataclass
class Workshop:
    """A pack with a patch for each of ``tasks``, and an engine whose manner ``behave`` tells from the patches in it."""

    root: Path
    engine: FakeEngine
    folder: Path
    tasks: str = "abcd"
    mode: Mode = "decide"
    design: Design = field(default_factory=lambda: Design(2, 1))
    head: str = ""
    files: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def pack(self) -> Path:
        folder = self.root / "patches" / "mixed"
        if not folder.is_dir():
            kernels = {f"kernel_{task}": f"def {task}(x):\n    return x\n" for task in self.tasks}
            patches = [(task, f"kernel_{task}.py", task) for task in self.tasks]
            write_pack(self.root, "mixed", patches, self.head, **{**kernels, **self.files})
        return folder

    def order(self) -> run.Order:
        rules = Correctness(requests=2, logprobs=2)
        scenario = Scenario("toy", "toy", Model(str(TINY)), (CHAT,), correctness=rules, minimum_effect=0.01)
        (arm,) = judge.candidates([self.pack], self.engine)[1:]
        return run.Order(self.engine, scenario, arm.packs[0], self.mode, self.design)

    def compose(self, behave: Behave) -> Composition:
        self.engine.behave = lambda plan: behave(tasks_of(plan))
        return run.compose(self.order(), self.folder, lambda what, done, total: self.told.append(what))

    def records(self, kind: str, place: str = "") -> list[Mapping[str, Any]]:
        return [record for record in read(self.folder / place) if record["kind"] == kind]

    def launched(self) -> list[str]:
        """The patches of every launch of the search, in order."""
        sessions = [session for session in self.engine.sessions if "round-" not in str(session.launch.folder)]
        return ["".join(sorted(tasks_of(session.plan))) for session in sessions]


def tasks_of(plan: Plan) -> frozenset[str]:
    return frozenset(swap.task for swap in plan.swaps)


def dropped(found: Composition) -> dict[str, Dropped]:
    return {each.patch: each for each in found.dropped}
