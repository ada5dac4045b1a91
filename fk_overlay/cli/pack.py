"""``fk-overlay pack``: what is shipped."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fk_overlay.cli.options import EngineName, Json

if TYPE_CHECKING:
    from fk_overlay.core import Pack
    from fk_overlay.engines.base import Engine
    from fk_overlay.plan import Plan

app = typer.Typer(help="What is shipped: lint, lock, export.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The pack's folder.")]


@app.command()
def lint(folder: Folder, engine: EngineName = "vllm") -> None:
    """Read a pack's source for what no kernel needs, check it against its lock, tasks and the installed engine, then
    opcheck its operators. Needs torch."""
    from fk_overlay import catalog, packs
    from fk_overlay.engines.base import get_engine
    from fk_overlay.integrity.operators import opcheck
    from fk_overlay.integrity.static import scan_pack

    pack = packs.trusted(catalog.pack(folder))
    found = scan_pack(pack.folder)
    for finding in found:
        typer.secho(str(finding), fg={"block": "red", "review": "yellow"}.get(finding.level), err=True)
    if any(finding.level == "block" for finding in found):
        raise typer.Exit(1)
    checked = opcheck(_plan(pack, get_engine(engine)))
    locked = "locked" if packs.read_lock(pack) else f"not locked (fk-overlay pack lock {folder})"
    typer.echo(
        f"{pack.name} {pack.digest[:12]}: {len(pack.patches)} patches, {checked} operator cases checked, {locked}"
    )


@app.command("compile")
def compile_for(
    folder: Folder,
    engine: EngineName = "vllm",
    target: Annotated[str, typer.Option("--for", help="Compute capability, such as sm_90 for Hopper.")] = "sm_90",
    json: Json = False,
) -> None:
    """Compile a pack's Triton kernels for a GPU that need not be here, and tell what each takes of it: registers,
    spills, shared memory, matrix instructions."""
    from dataclasses import asdict

    from fk_overlay import catalog, packs
    from fk_overlay.engines.base import get_engine
    from fk_overlay.errors import UsageError
    from fk_overlay.integrity.compiled import compile_apart

    capability = target.removeprefix("sm_")
    if not capability.isdigit():
        raise UsageError(f"--for {target} is no compute capability; give one such as sm_90")
    pack = packs.trusted(catalog.pack(folder))
    kernels = compile_apart(_plan(pack, get_engine(engine)), int(capability))
    if json:
        typer.echo(json_lib.dumps([asdict(each) for each in kernels], indent=1))
        return
    for each in kernels:
        typer.echo(each)
    typer.echo(f"{pack.name}: {len(kernels)} kernels compile for sm_{capability}")


@app.command()
def lock(folder: Folder) -> None:
    """Write pack.lock: the hash of every file, and the contracts that the patches were written against."""
    from fk_overlay import catalog, packs

    typer.echo(packs.lock(catalog.load_pack(folder)))


@app.command()
def export(
    folder: Folder,
    engine: Annotated[str, typer.Option("--engine", help="An engine that has hooks of its own.")],
    out: Annotated[Path, typer.Option(help="Where the plugin goes; put it on PYTHONPATH to use it.")],
) -> None:
    """Write a pack as a plugin of the engine's own, for the installed release, to serve it without fk-overlay."""
    from fk_overlay import catalog, packs
    from fk_overlay.engines.base import get_engine, get_exporter

    adapter, write = get_engine(engine), get_exporter(engine)
    pack = packs.trusted(catalog.pack(folder))
    typer.echo(write(pack, _plan(pack, adapter), adapter.version(), out))


def _plan(pack: Pack, engine: Engine) -> Plan:
    """What the pack alone does to the installed engine, whose contracts are checked."""
    from fk_overlay import catalog
    from fk_overlay.core import Arm
    from fk_overlay.serving.judge import checked_plan

    return checked_plan(Arm(pack.name, (pack,)), engine, catalog.tasks())
