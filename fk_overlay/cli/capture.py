"""``fk-overlay capture``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fk_overlay.cli.options import EngineName, ScenarioName

CAPTURES = Path("reports/captures")


class FormName(StrEnum):
    parquet = "parquet"
    jsonl = "jsonl"


Tasks = Annotated[
    list[str] | None, typer.Option("--task", help="Record this task; several may be given. Default: all.")
]
Out = Annotated[Path | None, typer.Option(help=f"Folder of the capture. Default: a new one in {CAPTURES}.")]
Megabytes = Annotated[
    int, typer.Option("--budget", help="Megabytes of values that are kept, all ranks together.", min=1)
]
Samples = Annotated[int, typer.Option(help="Calls of each case whose values are kept.", min=1)]
Most = Annotated[int | None, typer.Option("--requests", help="At most so many requests of each workload.", min=1)]
Manifest = Annotated[FormName, typer.Option(help="Form of the manifest. Parquet needs pyarrow.")]
Sizes = Annotated[bool, typer.Option(help="Also start the engine with CUDA graphs, for the sizes that they pad to.")]


def capture(
    scenario: ScenarioName,
    engine: EngineName = "vllm",
    task: Tasks = None,
    out: Out = None,
    budget: Megabytes = 128,
    samples: Samples = 2,
    requests: Most = None,
    manifest: Manifest = FormName.parquet,
    graph_sizes: Sizes = True,
) -> None:
    """Record what targets really receive inside the live engine, under the scenario's load.

    The engine runs eager, since Python does not see calls inside compiled and captured graphs. Open loops are sent as
    closed ones.
    """
    import time
    from functools import partial

    from fk_overlay import catalog, environment
    from fk_overlay.capture import run
    from fk_overlay.engines.base import get_engine
    from fk_overlay.engines.checkpoints import resolve, vocab_size
    from fk_overlay.serving.workload import make_requests

    chosen = catalog.scenario(scenario)
    model = resolve(chosen.model.source, environment.home() / "models", chosen.folder)
    made = partial(make_requests, vocab_size=vocab_size(model))
    seeds = range(chosen.seed, chosen.seed + 3)
    loads = [
        {workload.name: made(workload, seed=seed)[:requests] for workload in chosen.workloads} for seed in seeds[:2]
    ]
    headline = chosen.headline_workload
    order = run.Order(
        engine=get_engine(engine),
        scenario=chosen,
        model=model,
        tasks=tuple(map(catalog.task, task) if task else catalog.tasks().values()),
        requests=loads[0],
        quiet=loads[1],
        warm_up=made(headline, seed=seeds[2])[: headline.concurrency],
        form=manifest.value,
        budget_bytes=budget << 20,
        samples=samples,
        sizes=graph_sizes,
    )
    folder = out or CAPTURES / f"{time.strftime('%Y%m%d-%H%M%S')}-{chosen.name}-{engine}"
    _show(run.capture(order, folder, lambda what: typer.echo(what, err=True)))


def _show(found: object) -> None:
    from fk_overlay.capture.store import Capture

    assert isinstance(found, Capture)
    for place, said in found.header["places"].items():
        typer.echo(f"{said['task']:26} {said['calls']:9} calls {said['cases']:5} cases  {place}  {said['state']}")
    size = sum(path.stat().st_size for path in found.folder.rglob("*") if path.is_file())
    walls = found.header["overhead"].items()
    slower = ", ".join(f"{name} {wall['recording_s'] / wall['paused_s']:.2f}x" for name, wall in walls)
    typer.echo(f"{len(found.cases)} cases, {size / 2**20:.1f} MiB in {found.folder}; recording took {slower} the time")
