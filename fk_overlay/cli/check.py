"""``fk-overlay check``."""

from __future__ import annotations

import json as json_lib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fk_overlay.cli.options import EngineName, Json
from fk_overlay.errors import UsageError

if TYPE_CHECKING:
    from fk_overlay.contract.check import Finding
    from fk_overlay.contract.release import Release
    from fk_overlay.core import Task

COLOURS = {"same": "green", "compatible": "green", "body": "yellow"}
"""States that a patch can live with; any other ends the check with 3."""
STATES = (*COLOURS, "new", "changed", "moved", "gone")
Against = Annotated[
    str,
    typer.Option(
        help="Compare with a release that need not be installed: ENGINE==VERSION if its index is stored, or a wheel's "
        "file. Nothing of it is imported.",
        metavar="RELEASE",
    ),
]
Since = Annotated[
    str,
    typer.Option(
        help="With --against: compare with what this stored release had, not with the tasks' contracts.",
        metavar="VERSION",
    ),
]


def check(engine: EngineName = "vllm", against: Against = "", since: Since = "", json: Json = False) -> None:
    """Compare every task's contract with the installed engine, or with any other release. Needs no GPU.

    Every place of a task is the same, compatible (new optional parameters), of another body (callable as before),
    changed (in its signature), moved, gone, or new (not in a contract yet). Ends with 3 if one is changed, moved, gone
    or new, with 0 otherwise.
    """
    from fk_overlay import catalog

    if since and not against:
        raise UsageError("--since says what --against is compared with; name a release with --against, too")
    tasks = list(catalog.tasks().values())
    name, findings = _against(tasks, against, since) if against else _installed(tasks, engine)
    if json:
        typer.echo(json_lib.dumps([asdict(finding) for finding in findings], default=str, indent=1))
    else:
        typer.echo(name)
        for finding in findings:
            _print(finding)
        if against:
            typer.echo(_summary(tasks, findings))
    raise typer.Exit(3 if any(finding.state not in COLOURS for finding in findings) else 0)


def _installed(tasks: list[Task], engine: str) -> tuple[str, list[Finding]]:
    from fk_overlay.contract.check import check as findings_of
    from fk_overlay.engines.base import get_engine

    adapter = get_engine(engine)
    version = adapter.version()
    return f"{engine} {version}", findings_of(tasks, engine, version, adapter.source_root())


def _against(tasks: list[Task], wanted: str, since: str) -> tuple[str, list[Finding]]:
    from fk_overlay import catalog
    from fk_overlay.contract import archive, snapshot
    from fk_overlay.contract.drift import drift

    folders = [root / archive.FOLDER for root in catalog.roots()]

    @cache
    def earlier(engine: str, version: str) -> Release | None:
        return archive.find(engine, version, folders)

    def compared(release: Release) -> list[Finding]:
        before = archive.load(f"{release.engine}=={since}", folders) if since else None
        return drift(tasks, release, earlier, before)

    if wanted.endswith(".whl"):
        with snapshot.opened(Path(wanted)) as wheel:
            release = snapshot.release(tasks, snapshot.engine_of(wheel, tasks), wheel.version, wheel.root)
            return f"{release} ({wanted})", compared(release)
    release = archive.load(wanted, folders)
    return f"{release} (stored index)", compared(release)


def _print(finding: Finding) -> None:
    typer.secho(f"{finding.state:10} {finding.task:22} {finding.place}", fg=COLOURS.get(finding.state, "red"))
    since = f"since {finding.release}: " if finding.release and finding.detail else ""
    for line in f"{since}{finding.detail}".splitlines():
        typer.echo(f"{'':11}{line}")
    for line in finding.diff:
        typer.secho(f"{'':13}{line}", fg={"-": "red", "+": "green"}.get(line[0]))


def _summary(tasks: Sequence[Task], findings: Sequence[Finding]) -> str:
    """How many tasks are in which state, each counted by its worst place, and which do not admit the release yet."""
    worst = {each.task: each.state for each in sorted(findings, key=lambda each: STATES.index(each.state))}
    counts = Counter(worst.values())
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda it: STATES.index(it[0])))
    lines = [f"{len(worst)} tasks: {told}"]
    for versions in dict.fromkeys(each.outside for each in findings if each.outside):
        names = dict.fromkeys(each.task for each in findings if each.outside == versions)
        lines.append(f"outside of their targets' versions {versions}: {', '.join(names)}")
    absent = [task.name for task in tasks if task.name not in worst]
    return "\n".join(lines + [f"no target in this engine: {', '.join(absent)}"] * bool(absent))
