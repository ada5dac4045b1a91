"""``fk-overlay task``: what can be patched."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from typing import Annotated

import typer

from fk_overlay.cli.options import Json

app = typer.Typer(help="What can be patched: list, show, lint.", no_args_is_help=True)
Names = Annotated[list[str] | None, typer.Argument(help="Task names. Default: all.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """Every task on the search path."""
    from fk_overlay import catalog

    tasks = sorted(catalog.tasks().values(), key=lambda task: (task.level, task.name))
    if json:
        typer.echo(json_lib.dumps([asdict(task) for task in tasks], default=str, indent=1))
        return
    for task in tasks:
        engines = ", ".join(dict.fromkeys(target.engine for target in task.targets))
        typer.echo(f"{task.level}  {task.name:24} {engines:14} {task.summary.splitlines()[0]}")


@app.command()
def show(name: str, json: Json = False) -> None:
    """One task: its targets, promises and contract."""
    from fk_overlay import catalog

    task = catalog.task(name)
    if json:
        typer.echo(json_lib.dumps(asdict(task), default=str, indent=1))
        return
    typer.echo(f"{task.name} ({task.level}; {', '.join(task.families)})\n{task.summary}\n")
    for target in task.targets:
        members = f" [{', '.join(target.members)}]" if target.members else ""
        typer.echo(f"  {target.engine} {target.versions}: {target.path}{members}, {target.seam} seam")
    for key in ("mutates", "aliases", "data_dependent", "paged"):
        if value := getattr(task, key):
            said = ", ".join(value) if isinstance(value, tuple) else value
            typer.echo(f"  {key.replace('_', ' ')}: {said}")
    for dtype, bound in task.tolerance.items():
        typer.echo(
            f"  {dtype}: rtol {bound.rtol:g}, atol {bound.atol:g} for {bound.ratio:.1%}, never over {bound.cap:g} times"
        )
    typer.echo(f"  oracle: {task.folder / 'reference.py'}")


@app.command()
def lint(names: Names = None) -> None:
    """Check that tasks are complete and that their oracle and samples can tell right from wrong. Needs torch."""
    from fk_overlay import catalog
    from fk_overlay.integrity.discriminate import lint as problems_of

    tasks = [catalog.task(name) for name in names] if names else list(catalog.tasks().values())
    problems = [(task, problem) for task in tasks for problem in problems_of(task)]
    for task, problem in problems:
        typer.secho(f"{task.name}: {problem}", fg="red")
    typer.echo(f"{len(tasks)} tasks, {len(problems)} problems")
    raise typer.Exit(1 if problems else 0)
