"""``fk-overlay``: the verbs. Each lives in a module of its own, imported when it is called."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fk_overlay import __version__
from fk_overlay.cli import bench, capture, check, compose, contract, pack, profile, report, run, serve, task, tune
from fk_overlay.errors import OverlayError

app = typer.Typer(
    name="fk-overlay",
    help="Judge a kernel where it will live: inside the real serving engine, against real load.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("selftest")(run.selftest)
app.command("bench")(bench.bench)
app.command("compose")(compose.compose)
app.command("capture")(capture.capture)
app.command("profile")(profile.profile)
app.command("report")(report.report)
app.command("check")(check.check)
app.command("serve", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve.serve)
app.add_typer(task.app, name="task")
app.add_typer(pack.app, name="pack")
app.add_typer(contract.app, name="contract")
app.add_typer(tune.app, name="tune")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"fk-overlay {__version__}")
        raise typer.Exit


def main() -> None:
    try:
        app()
    except OverlayError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
