"""Many cases: every verdict is on disk before the next case begins, and an interrupted bench goes on where it stopped.

``records.jsonl`` (see :mod:`fk_overlay.lineage.record`) begins with a line of kind ``bench``: engine, release, pack,
digest, design and machine. Each case adds one of kind ``case``: a :class:`fk_overlay.bench.verdict.CaseVerdict`, and
the seconds that judging it took.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from fk_overlay.bench.bench import Bench
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge, skipped
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import store
from fk_overlay.capture.subset import samples
from fk_overlay.core import Pack, Task
from fk_overlay.engines.gpus import gpus
from fk_overlay.errors import ContractError, EngineError, RecordError, UsageError
from fk_overlay.lineage import record

KEY = ("engine", "engine_version", "pack", "digest", "design", "gpus")
"""What must be equal for two parts of one record."""
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A case to judge.

    Attributes:
        share: of the time that its capture's model took; None if the capture is but a part.
        unlike: why a sample is not of what is here; empty if it is.
    """

    case: store.Case
    task: Task
    share: float | None
    unlike: str = ""


def choose(bench: Bench, tasks: Iterable[Task], folder: Path | None) -> list[Chosen]:
    """The heaviest cases first, of these tasks, from one capture or from the samples beside the tasks. Samples of
    another release are told of, and not judged.

    Raises:
        FileError, EngineError, ContractError: a capture is damaged, of another engine or release, or of targets that
            have changed since.
        UsageError: there is no case of any of these tasks.
    """
    wanted = list(tasks)
    found: list[Chosen] = []
    for task in wanted:
        place = folder or samples(task, bench.engine)
        if not place.is_dir():
            continue
        capture = store.read(place)
        unlike = _unlike(capture, bench, raising=folder is not None)
        whole = model_seconds(capture)
        shares = ((case, case.weight / whole if whole else None) for case in capture.of_task(task.name))
        found += [Chosen(case, task, share, unlike) for case, share in shares]
    if not found:
        names = ", ".join(task.name for task in wanted)
        raise UsageError(
            f"no case of {names} in {folder or f'the samples of {bench.engine}'}; record some: fk-overlay capture"
        )
    return found


def _unlike(capture: store.Capture, bench: Bench, *, raising: bool) -> str:
    try:
        capture.check(engine=bench.engine, version=bench.host.version(), tasks=bench.tasks)
    except (EngineError, ContractError) as error:
        if raising:
            raise
        return str(error)
    return ""


def patched(bench: Bench, pack: Pack | None) -> list[str]:
    """Tasks that a pack has a patch for in this engine, or all that have a target in it."""
    if pack is not None:
        return list(dict.fromkeys(patch.task for patch in pack.patches if patch.meant_for(bench.engine)))
    named = {name: {target.engine for target in task.targets} for name, task in bench.tasks.items()}
    return sorted(name for name, engines in named.items() if bench.engine in engines)


def model_seconds(capture: store.Capture) -> float:
    """Seconds that the capture's model took: those of the task that holds all others, 0 if several models are in it or
    the capture is a part of another, in which the model may be missing."""
    if "part_of" in capture.header:
        return 0.0
    sums: dict[str, float] = {}
    for case in capture.cases:
        if case.rank == 0:
            sums[case.task] = sums.get(case.task, 0.0) + case.weight
    return max(sums.values(), default=0.0)


def run(
    bench: Bench, chosen: list[Chosen], pack: Pack | None, design: Design, folder: Path, tell: Tell | None = None
) -> list[CaseVerdict]:
    """Judge every case that the record in ``folder`` has not. Returns all verdicts, also the earlier ones.

    Raises:
        RecordError: the record is of another pack, design, engine or machine.
    """
    head = header(bench, pack, design)
    done = resumed(folder, head)
    with record.Recorder(folder) as recorder:
        if done is None:
            recorder.add("bench", **head)
        verdicts = dict(done or {})
        for number, each in enumerate(chosen):
            key = each.task.name, each.case.id
            if key in verdicts:
                continue
            if tell is not None:
                tell(f"{each.task.name} {each.case.id}", number, len(chosen))
            began = time.monotonic()
            asked = bench, each.case, each.task, pack, design
            verdict = replace(skipped(*asked, each.unlike) if each.unlike else judge(*asked), captured_share=each.share)
            recorder.add("case", took_s=round(time.monotonic() - began, 2), clocks=gpus(), **verdict.plain())
            verdicts[key] = verdict
    return list(verdicts.values())


def header(bench: Bench, pack: Pack | None, design: Design) -> dict[str, Any]:
    return {
        "engine": bench.engine,
        "engine_version": bench.host.version(),
        "pack": pack.name if pack is not None else None,
        "digest": pack.digest if pack is not None else None,
        "design": asdict(design),
        "gpus": list(bench.host.gpus()),
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "torch": metadata.version("torch"),
    }


def resumed(folder: Path, head: Mapping[str, Any]) -> dict[tuple[str, str], CaseVerdict] | None:
    """Verdicts of an earlier part of this bench; None if there is none."""
    if not any((folder / name).is_file() for name in (record.FILE, record.ARCHIVE)):
        return None
    first, *rest = record.read(folder)
    if first.get("kind") != "bench":
        raise RecordError(f"{folder} holds the record of something else; give a folder that fk-overlay bench made")
    different = [name for name in KEY if first.get(name) != head[name]]
    if different:
        raise RecordError(f"{folder} was begun with another {', '.join(different)}; begin a new bench")
    cases = [CaseVerdict.revived(each) for each in rest if each["kind"] == "case"]
    return {(each.task, each.case): each for each in cases}
