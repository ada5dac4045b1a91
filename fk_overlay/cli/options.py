"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EngineName = Annotated[str, typer.Option("--engine", help="Which serving engine.")]
ScenarioName = Annotated[str, typer.Option("--scenario", help="A scenario's name, or its YAML file.")]
Patches = Annotated[
    list[str], typer.Option("--patch", help="A pack's name, or its folder. Several share one baseline.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RUNS = Path("reports/runs")
"""Where runs are kept unless told otherwise."""
