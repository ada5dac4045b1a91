"""``fk-overlay compose``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fk_overlay.cli.options import RUNS, EngineName, ScenarioName
from fk_overlay.cli.progress import Progress
from fk_overlay.cli.run import ModeName, Passes, Restarts, stop_cleanly

PackName = Annotated[str, typer.Argument(metavar="PACK", help="A pack's name, or its folder.")]
ModeOption = Annotated[ModeName, typer.Option(help="How what holds is measured: launches of each arm, as in `run`.")]
Out = Annotated[Path | None, typer.Option(help="Write the repaired pack, locked, to this folder.")]
Record = Annotated[Path | None, typer.Option(help=f"Folder of the record. Default: a new one in {RUNS}.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with the composition in this folder.")]


def compose(
    pack: PackName,
    scenario: ScenarioName,
    engine: EngineName = "vllm",
    mode: ModeOption = ModeName.decide,
    restarts: Restarts = None,
    passes: Passes = None,
    out: Out = None,
    record: Record = None,
    resume: Resume = None,
) -> None:
    """Find the largest subset of a pack's patches that holds in the real engine, and what each patch adds to it.

    A subset is tried with one launch: it must start, compiled as the scenario says, prove that every patch runs, be
    right and keep the limits. A crash is blamed on the patch that its traceback leads to; any other failure is narrowed
    down by bisection to patches that fail together, of which the fewest possible are dropped, the last in pack.toml
    first. What holds is measured beside itself without each patch; one that clearly slows the others down is dropped
    too.
    """
    from fk_overlay import catalog, packs
    from fk_overlay.compose import run
    from fk_overlay.core import BASELINE, Arm, Design
    from fk_overlay.engines.base import get_engine
    from fk_overlay.report import composition
    from fk_overlay.serving import judge

    chosen, found_scenario = get_engine(engine), catalog.scenario(scenario)
    (arm,) = judge.candidates([pack], chosen)[1:]
    design = Design.of(mode.value)
    design = replace(design, restarts=restarts or design.restarts, passes=passes or design.passes)
    order = run.Order(chosen, found_scenario, arm.packs[0], mode.value, design)
    folder = resume or record or judge.new_folder(RUNS, found_scenario, (Arm(BASELINE), arm))
    if resume is None and folder.exists() and any(folder.iterdir()):
        raise typer.BadParameter(f"{folder} is not empty; to go on in it: --resume {folder}", param_hint="--record")
    if out is not None and out.exists() and any(out.iterdir()):
        raise typer.BadParameter(f"{out} is not empty", param_hint="--out")
    stop_cleanly()
    try:
        with Progress() as progress:
            found = run.compose(order, folder, progress.tell)
    except KeyboardInterrupt:
        typer.secho(f"interrupted; go on with --resume {folder}", fg="yellow", err=True)
        raise typer.Exit(130) from None
    written = composition.write(found, folder)
    if out is not None and found.repaired is not None:
        written.append(packs.lock(run.write_repaired(order, found, out)).parent)
    composition.show(found, written)
    raise typer.Exit(found.exit_code)
