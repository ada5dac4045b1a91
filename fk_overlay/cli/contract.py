"""``fk-overlay contract``: what targets looked like when the tasks were written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fk_overlay.cli.options import EngineName

app = typer.Typer(help="What targets look like in a release: snapshot.", no_args_is_help=True)


@app.command()
def snapshot(
    wheel: Annotated[Path | None, typer.Option(help="Read this wheel. Default: the installed engine.")] = None,
    engine: EngineName = "vllm",
) -> None:
    """Write every task's contract for one release, read from its source; nothing of it is imported."""
    if wheel is None:
        from fk_overlay.engines.base import get_engine

        adapter = get_engine(engine)
        _write(engine, adapter.version(), adapter.source_root())
        return
    from fk_overlay.contract.snapshot import opened

    with opened(wheel) as unpacked:
        _write(engine, unpacked.version, unpacked.root)


def _write(engine: str, version: str, root: Path) -> None:
    from fk_overlay import catalog
    from fk_overlay.contract import store
    from fk_overlay.contract.snapshot import snapshot as take

    for task in catalog.tasks().values():
        if store.admitted(task, engine, version):
            typer.echo(store.write(task.folder, take(task, engine, version, root)))
