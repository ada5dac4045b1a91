"""``fk-overlay report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN", help="The folder of a run; several give one table.")],
    html: Annotated[bool, typer.Option("--html", help="Write HTML.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where the table of several runs goes. Default: beside them.")
    ] = None,
) -> None:
    """Write a run's report from its record, finished or not. Several runs: the same packs in other engines, releases or
    hosts, side by side. Without a format: all of them."""
    from fk_overlay.report import write, write_side_by_side

    everything = not (html or markdown or json)
    wanted = {"html": html or everything, "markdown": markdown or everything, "json": json or everything}
    if len(folders) == 1 and out is not None:
        raise typer.BadParameter("a single run's report lies in its folder", param_hint="--out")
    if len(folders) == 1:
        written = write(folders[0], **wanted)
    else:
        written = write_side_by_side(folders, out or folders[0].absolute().parent, **wanted)
    for path in written:
        typer.echo(path)
