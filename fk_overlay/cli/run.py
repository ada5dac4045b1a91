"""``fk-overlay run`` and ``fk-overlay selftest``."""

from __future__ import annotations

import signal
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fk_overlay.cli.options import RUNS, EngineName, Patches, ScenarioName


class ModeName(StrEnum):
    screen = "screen"
    decide = "decide"
    publish = "publish"


ModeOption = Annotated[ModeName, typer.Option(help="screen: K=2, cannot praise. decide: K=5. publish: K=7.")]
Restarts = Annotated[int | None, typer.Option(help="Launches of each arm, instead of the mode's K.", min=2)]
Passes = Annotated[int | None, typer.Option(help="Passes of the load in each launch, instead of the mode's P.", min=1)]
Control = Annotated[bool, typer.Option("--control", help="Judge the baseline against itself too.")]
Out = Annotated[Path | None, typer.Option(help=f"Folder of the run. Default: a new one in {RUNS}.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")]


def run(
    scenario: ScenarioName,
    patch: Patches,
    engine: EngineName = "vllm",
    mode: ModeOption = ModeName.decide,
    restarts: Restarts = None,
    passes: Passes = None,
    control: Control = False,
    out: Out = None,
    resume: Resume = None,
) -> None:
    """Judge packs inside the real engine: baseline against candidate, under the scenario's load."""
    _run(engine, scenario, patch, mode, restarts, passes, out, resume, control=control)


def selftest(
    scenario: ScenarioName,
    engine: EngineName = "vllm",
    mode: ModeOption = ModeName.decide,
    restarts: Restarts = None,
    passes: Passes = None,
    out: Out = None,
    resume: Resume = None,
) -> None:
    """Judge the baseline against itself: is this host fit to judge today?"""
    _run(engine, scenario, [], mode, restarts, passes, out, resume, control=True)


def _run(
    engine_name: str,
    scenario_name: str,
    patches: list[str],
    mode: ModeName,
    restarts: int | None,
    passes: int | None,
    out: Path | None,
    resume: Path | None,
    *,
    control: bool,
) -> None:
    from fk_overlay import catalog
    from fk_overlay.cli.progress import Progress
    from fk_overlay.core import Design
    from fk_overlay.engines.base import get_engine
    from fk_overlay.report import write
    from fk_overlay.report.console import verdicts as show
    from fk_overlay.serving import judge

    engine = get_engine(engine_name)
    scenario = catalog.scenario(scenario_name)
    arms = judge.candidates(patches, engine, control=control)
    design = Design.of(mode.value)
    design = replace(design, restarts=restarts or design.restarts, passes=passes or design.passes)
    order = judge.Order(engine, scenario, arms, mode.value, design)
    folder = resume or out or judge.new_folder(RUNS, scenario, arms)
    if resume is None and folder.exists() and any(folder.iterdir()):
        raise typer.BadParameter(
            f"{folder} is not empty; to go on with the run in it: --resume {folder}", param_hint="--out"
        )
    stop_cleanly()
    try:
        with Progress() as progress:
            found = judge.run(order, folder, progress.tell)
    except KeyboardInterrupt:
        typer.secho(f"interrupted; go on with --resume {folder}", fg="yellow", err=True)
        raise typer.Exit(130) from None
    show(found, folder)
    for path in write(folder):
        typer.echo(path)
    raise typer.Exit(max((verdict.exit_code for verdict in found), default=3))


def stop_cleanly() -> None:
    """An interruption or a termination, even where the shell has them ignored, stops the engine and leaves a note."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
