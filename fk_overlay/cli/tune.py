"""``fk-overlay tune``: kernel configurations for this card."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fk_overlay.cli.options import EngineName

app = typer.Typer(help="Search kernel configurations on this machine's card: moe, pack.", no_args_is_help=True)


MOST_COMPILERS = 12
"""Each holds a layer's weights and half a gigabyte of its own on the card."""


class LawName(StrEnum):
    skewed = "skewed"
    uniform = "uniform"


@app.command()
def moe(
    shape: Annotated[str, typer.Option(help="Name of the mixture of experts, such as qwen3-30b-a3b.")],
    out: Annotated[Path, typer.Option(help="Folder of the journals and of the files, one subfolder an engine.")],
    engine: EngineName = "vllm",
    tp: Annotated[int, typer.Option(help="Ranks that share a layer.", min=1)] = 1,
    tokens: Annotated[
        str, typer.Option(help="Batch sizes: 1..8192 (powers of two) or 256,24,1, in that order.")
    ] = "1..8192",
    routing: Annotated[LawName, typer.Option(help="Law by which tokens choose experts.")] = LawName.skewed,
    budget_s: Annotated[float | None, typer.Option(help="Seconds for the searches of this call.", min=1)] = None,
    candidates: Annotated[int | None, typer.Option(help="Configurations tried for each batch size.", min=1)] = None,
    compilers: Annotated[
        int | None,
        typer.Option(help="Processes that compile ahead; by default all processors but one, 12 at most.", min=0),
    ] = None,
) -> None:
    """Search configurations of the engine's fused experts. Call it again with the same --out to go on.

    Ends with 0 when every batch size is settled, with 4 when some are not yet.
    """
    import os
    from dataclasses import replace
    from functools import partial

    from fk_overlay.cli.progress import Progress
    from fk_overlay.cli.run import stop_cleanly
    from fk_overlay.tuning import run, shapes
    from fk_overlay.tuning.ahead import Ahead
    from fk_overlay.tuning.here import compiler_here, layer_here, order_here
    from fk_overlay.tuning.routing import Routing

    sizes = run.parse_tokens(tokens)
    layer = layer_here(engine, shapes.get(shape, tp), Routing(routing.value))
    order = order_here(engine, layer, tp, sizes)
    effort = replace(order.effort, candidates=candidates or order.effort.candidates)
    order = replace(order, effort=effort, budget_s=budget_s or order.budget_s)
    workers = min(MOST_COMPILERS, len(os.sched_getaffinity(0)) - 1) if compilers is None else compilers
    ahead = Ahead(partial(compiler_here, engine, layer.shape, layer.routing), workers)
    stop_cleanly()
    try:
        with Progress() as progress, ahead:
            results = run.tune(order, layer.at, out, progress.tell, ahead=ahead)
    except KeyboardInterrupt:
        typer.secho("interrupted; the same call again goes on from here", fg="yellow", err=True)
        raise typer.Exit(130) from None
    for line in run.lines(results):
        typer.echo(line)
    typer.echo(order.written(out))
    raise typer.Exit(0 if {result["state"] for result in results.values()} <= {"tuned", "default"} else 4)


@app.command()
def pack(
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="Folder that was given to --out.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new pack; its name is the pack's.")],
    engine: EngineName = "vllm",
) -> None:
    """Make a pack of what was tuned, bound to this card, engine and Triton, and lock it."""
    from fk_overlay.cli.pack import lock
    from fk_overlay.tuning import pack as making

    lock(making.make(tuned, engine, folder))
