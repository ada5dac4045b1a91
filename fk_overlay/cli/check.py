"""``fk-overlay check``."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict

import typer

from fk_overlay.cli.options import EngineName, Json

COLOURS = {"same": "green", "compatible": "green", "body": "yellow"}


def check(engine: EngineName = "vllm", json: Json = False) -> None:
    """Compare every task's contract with the installed engine. Needs no GPU and imports nothing of the engine."""
    from fk_overlay import catalog
    from fk_overlay.contract.check import check as findings_of
    from fk_overlay.engines.base import get_engine

    adapter = get_engine(engine)
    version = adapter.version()
    findings = findings_of(list(catalog.tasks().values()), engine, version, adapter.source_root())
    if json:
        typer.echo(json_lib.dumps([asdict(finding) for finding in findings], default=str, indent=1))
    else:
        typer.echo(f"{engine} {version}")
        for finding in findings:
            typer.secho(f"{finding.state:10} {finding.task:22} {finding.place}", fg=COLOURS.get(finding.state, "red"))
            for line in finding.detail.splitlines():
                typer.echo(f"{'':11}{line}")
    raise typer.Exit(3 if any(finding.state not in COLOURS for finding in findings) else 0)
