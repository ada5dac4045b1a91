"""``fk-overlay profile``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fk_overlay.cli.options import EngineName, ScenarioName
from fk_overlay.profiling.limits import Budget, Size

if TYPE_CHECKING:
    from fk_overlay.profiling.run import Order

PROFILES = Path("reports/profiles")
SIZE, DEFAULT = Size(), Budget("ncu")


class ToolName(StrEnum):
    torch = "torch"
    ncu = "ncu"
    nsys = "nsys"


PatchOption = Annotated[str | None, typer.Option("--patch", help="A pack's name, or its folder, to compare with.")]
ToolOption = Annotated[ToolName, typer.Option(help="Whose profiler. ncu and nsys need an NVIDIA GPU.")]
BenchOption = Annotated[
    Path | None, typer.Option("--bench", help="A bench, which says how near each task is to its roofline.")
]
Out = Annotated[Path | None, typer.Option(help=f"Folder of the profile. Default: a new one in {PROFILES}.")]
Most = Annotated[int | None, typer.Option("--requests", help="At most so many requests of the headline load.", min=1)]
Tokens = Annotated[int, typer.Option("--tokens", help="At most so many output tokens of each request.", min=1)]
Kernel = Annotated[str, typer.Option(help="ncu: regular expression of the kernels that are looked into.")]
Skip = Annotated[int, typer.Option("--skip", help="ncu: launches of them that are passed over first.", min=0)]
Launches = Annotated[int, typer.Option("--launches", help="ncu: at most so many launches of them.", min=1)]


def profile(
    scenario: ScenarioName,
    engine: EngineName = "vllm",
    patch: PatchOption = None,
    tool: ToolOption = ToolName.torch,
    bench: BenchOption = None,
    out: Out = None,
    requests: Most = SIZE.requests,
    tokens: Tokens = SIZE.tokens,
    kernel: Kernel = DEFAULT.kernel,
    skip: Skip = DEFAULT.skip,
    launches: Launches = DEFAULT.launches,
) -> None:
    """Which task owns which share of the time under the scenario's load, before and after a patch.

    torch: ranges around every task's places in an eager engine; with CUDA graphs, the kernels of the engine as the
    scenario is written too, given to tasks by their names. nsys: the same ranges, seen from outside. ncu: sections of
    single kernels. Whatever the scenario says, ncu and nsys drive the engine through its Python interface.
    """
    import time
    from dataclasses import replace

    from fk_overlay.profiling import run, wrapped
    from fk_overlay.profiling.achieved import achieved
    from fk_overlay.report import kernels
    from fk_overlay.report import profile as views

    order = _order(engine, scenario, patch, Size(requests, tokens))
    if bench is not None:
        order = replace(order, achieved=achieved(bench, engine))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{order.scenario.name}-{engine}-{tool.value}"
    folder = out or PROFILES / name
    if tool is ToolName.torch:
        found = run.profile(order, folder, _tell)
        views.show(found, views.write(found, folder))
    else:
        budget = Budget("ncu" if tool is ToolName.ncu else "nsys", kernel, skip, launches)
        seen = wrapped.profile(order, budget, folder, _tell)
        kernels.show(seen, kernels.write(seen, folder))


def _tell(what: str) -> None:
    typer.echo(what, err=True)


def _order(engine_name: str, scenario_name: str, patch: str | None, size: Size) -> Order:
    from functools import partial

    from fk_overlay import catalog, environment
    from fk_overlay.engines.base import get_engine
    from fk_overlay.engines.checkpoints import resolve, vocab_size
    from fk_overlay.profiling.run import Loads, Order
    from fk_overlay.serving.judge import candidates
    from fk_overlay.serving.workload import make_requests

    engine, scenario = get_engine(engine_name), catalog.scenario(scenario_name)
    model = resolve(scenario.model.source, environment.home() / "models", scenario.folder)
    headline = scenario.headline_workload
    made = partial(make_requests, headline, vocab_size=vocab_size(model))
    profiled, quiet, warm_up, last = (made(seed=scenario.seed + number) for number in range(4))
    loads = Loads(size.of(profiled), size.of(quiet), size.of(warm_up)[: headline.concurrency], size.of(last)[:1])
    return Order(engine, scenario, model, catalog.tasks(), candidates([patch] if patch else [], engine), loads)
