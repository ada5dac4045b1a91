"""``fk-overlay bench``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fk_overlay.bench.design import Design
from fk_overlay.cli.options import EngineName
from fk_overlay.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fk_overlay.bench.verdict import CaseVerdict

BENCHES = Path("reports/runs")
DEFAULT = Design()


class ModeName(StrEnum):
    eager = "eager"
    compile = "compile"
    graph = "graph"


Patch = Annotated[str, typer.Option(help="A pack's name, or its folder.", metavar="PACK")]
Selftest = Annotated[bool, typer.Option("--selftest", help="Judge the baseline against itself: is this host fit?")]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Only this task; several may be given.")]
Cases = Annotated[Path | None, typer.Option(help="Folder of a capture. Default: the sample cases beside each task.")]
Mode = Annotated[ModeName, typer.Option(help="How calls are made. graph: CUDA graphs, on a GPU only.")]
Rounds = Annotated[int, typer.Option(help="Rounds: what the interval is taken over.", min=2)]
Iterations = Annotated[int, typer.Option(help="Timed calls of each arm in a round.", min=1)]
Processes = Annotated[int, typer.Option(help="Pairs of fresh processes that the rounds are spread over.", min=1)]
Out = Annotated[Path | None, typer.Option(help=f"Folder of the record. Default: a new one in {BENCHES}.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with the bench in this folder.")]
Written = Annotated[Path | None, typer.Option("--json", help="Also write the verdicts as JSON to this file.")]


def bench(
    patch: Patch = "",
    selftest: Selftest = False,
    task: Tasks = None,
    cases: Cases = None,
    engine: EngineName = "vllm",
    mode: Mode = ModeName.eager,
    rounds: Rounds = DEFAULT.rounds,
    iterations: Iterations = DEFAULT.iterations,
    processes: Processes = DEFAULT.processes,
    out: Out = None,
    resume: Resume = None,
    json: Written = None,
) -> None:
    """Judge one kernel after the other against the live target, on captured calls, without the engine around it.

    Exit codes: 0 fine, 1 regressed, 3 nothing could be believed or judged, 4 unresolved, 5 incorrect.
    """
    import time
    from dataclasses import replace

    from fk_overlay import catalog
    from fk_overlay.bench import report, run
    from fk_overlay.bench.bench import Bench, Place
    from fk_overlay.engines.base import get_engine

    if bool(patch) == selftest:
        raise UsageError("give either --patch PACK or --selftest")
    get_engine(engine).version()
    tasks = catalog.tasks()
    design = replace(DEFAULT, mode=mode.value, rounds=rounds, iterations=iterations, processes=processes)
    folder = resume or out or BENCHES / f"{time.strftime('%Y%m%d-%H%M%S')}-bench-{Path(patch).name or 'selftest'}"
    with Bench(Place.of(engine), tasks) as opened:
        pack = opened.frozen(catalog.pack(patch)) if patch else None
        wanted = [tasks[name] if name in tasks else catalog.task(name) for name in task or run.patched(opened, pack)]
        chosen = run.choose(opened, wanted, cases)
        verdicts = run.run(opened, chosen, pack, design, folder, _tell)
        gpu = next(iter(opened.host.gpus()), "")
        head = run.header(opened, pack, design)
    report.show(verdicts, gpu)
    title = f"{patch or 'Baseline against itself'} in {engine}, {mode.value}"
    (folder / "report.md").write_text(report.markdown(verdicts, title, gpu), encoding="utf-8")
    for path in filter(None, (folder / "report.json", json)):
        path.write_text(report.as_json(verdicts, head), encoding="utf-8")
    typer.echo(folder)
    raise typer.Exit(_exit_code(verdicts, selftest=selftest))


def _tell(what: str, done: int, total: int) -> None:
    typer.echo(f"[{done + 1}/{total}] {what}", err=True)


def _exit_code(verdicts: Sequence[CaseVerdict], *, selftest: bool) -> int:
    from fk_overlay.bench.verdict import exit_code, fit

    return (0 if fit(verdicts) else 3) if selftest else exit_code(verdicts)
