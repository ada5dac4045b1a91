"""``fk-overlay contract``: what targets looked like when the tasks were written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What targets look like in a release: snapshot.", no_args_is_help=True)
Wheel = Annotated[Path | None, typer.Option(help="Read this wheel. Default: the installed engine.")]
Engine = Annotated[str, typer.Option(help="Which serving engine, if it is not a wheel's.")]
IndexOnly = Annotated[
    bool, typer.Option("--index-only", help="Keep the index, leave the tasks' contracts as they are.")
]


@app.command()
def snapshot(wheel: Wheel = None, engine: Engine = "vllm", index_only: IndexOnly = False) -> None:
    """Write what one release looks like, read from its source; nothing of it is imported.

    Two things are kept: the contract of every task that has a target in this release, and the release's index for
    'check --against', with every function and class of the engine (tasks/releases of the first root of the search
    path). Takes about half a minute for a release of vLLM or SGLang.
    """
    if wheel is None:
        from fk_overlay.engines.base import get_engine

        adapter = get_engine(engine)
        _write(engine, adapter.version(), adapter.source_root(), index_only)
        return
    from fk_overlay import catalog
    from fk_overlay.contract.snapshot import engine_of, opened

    with opened(wheel) as unpacked:
        found = engine_of(unpacked, list(catalog.tasks().values()))
        _write(found, unpacked.version, unpacked.root, index_only)


def _write(engine: str, version: str, root: Path, index_only: bool) -> None:
    from fk_overlay import catalog
    from fk_overlay.contract import archive, store
    from fk_overlay.contract import snapshot as taking

    tasks = list(catalog.tasks().values())
    for task in tasks:
        if not index_only and store.admitted(task, engine, version):
            typer.echo(store.write(task.folder, taking.snapshot(task, engine, version, root)))
    typer.echo(archive.store(taking.release(tasks, engine, version, root), catalog.roots()[0] / archive.FOLDER))
