"""A small set of cases out of a capture, such as the samples that lie beside a task."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fk_overlay.capture import store
from fk_overlay.capture.signature import plain
from fk_overlay.capture.store import Capture, Case
from fk_overlay.core import Task
from fk_overlay.errors import UsageError

SAMPLES = "cases"
WHOLE_RUN = ("manifest", "digest", "places", "overhead", "config")
"""Keys of the header that are about more than the chosen cases."""


def samples(task: Task, engine: str) -> Path:
    """Where the sample cases lie that come with a task; a task may have none of an engine."""
    return task.folder / SAMPLES / engine


def representative(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many cases of rank 0: the heaviest of every target and module first, then their second."""
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for case in sorted(cases, key=lambda case: -case.weight):
        if case.rank == 0:
            kind = case.target, case.module
            turns.append((seen[kind], case))
            seen[kind] += 1
    return [case for _, case in sorted(turns, key=lambda turn: turn[0])[:most]]


def extract(capture: Capture, task: str, folder: Path, most: int = 4) -> Path:
    """Write representative cases of one task to ``folder``, replacing what is there.

    Raises:
        UsageError: the capture has no case of the task.
    """
    cases = representative(capture.of_task(task), most)
    if not cases:
        raise UsageError(f"{capture.folder} has no case of task {task!r}; capture it under another scenario")
    if folder.exists():
        shutil.rmtree(folder)
    (folder / store.TENSORS).mkdir(parents=True)
    for name in store.tensor_names(cases):
        shutil.copyfile(store.tensor_file(capture.folder, name), store.tensor_file(folder, name))
    facts = {key: value for key, value in capture.header.items() if key not in WHOLE_RUN}
    named = {name: plain(module) for case in cases for name, module in sorted(case.modules.items())}
    facts |= {
        "modules": {"0": named},
        "contracts": {task: capture.contracts[task]},
        "part_of": capture.header["digest"],
    }
    return store.write(folder, facts, [row(case) for case in cases], "jsonl")


def row(case: Case) -> dict[str, object]:
    """The manifest's row for a case that was read."""
    fields = ("id", "task", "target", "rank", "module", "calls", "timed", "seconds")
    nested = ("signature", "results", "surroundings", "snapshots")
    return {**{name: getattr(case, name) for name in fields}, **{name: plain(getattr(case, name)) for name in nested}}
