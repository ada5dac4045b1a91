"""``fk-overlay report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    html: Annotated[bool, typer.Option("--html", help="Write report.html.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write report.md.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write report.json.")] = False,
) -> None:
    """Write a run's report from its record, finished or not. Without a format: all of them."""
    from fk_overlay.report import write

    everything = not (html or markdown or json)
    for path in write(folder, html=html or everything, markdown=markdown or everything, json=json or everything):
        typer.echo(path)
