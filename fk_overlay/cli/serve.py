"""``fk-overlay serve``: the engine's own server with packs in it, as production would run it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fk_overlay.cli.options import EngineName, Patches


def serve(
    context: typer.Context,
    patch: Patches,
    engine: EngineName = "vllm",
    receipts: Annotated[str | None, typer.Option(help="Folder where every process leaves its receipt.")] = None,
) -> None:
    """Start the engine's server with packs in every process. What follows `--` goes to the engine as it is."""
    from fk_overlay.engines.base import get_engine
    from fk_overlay.serving.judge import candidates

    adapter = get_engine(engine)
    arms = candidates(patch, adapter)
    folders = [str(pack.folder) for arm in arms for pack in arm.packs]
    os.environ["FK_OVERLAY"] = os.pathsep.join(folders)
    if receipts:
        os.environ["FK_OVERLAY_RECEIPTS"] = receipts
    command = adapter.serve_command(context.args)
    os.execv(command[0], command)
