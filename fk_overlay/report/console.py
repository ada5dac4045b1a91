"""Verdicts on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fk_overlay.core import Verdict
from fk_overlay.report.wording import STATES, change, number, span

STYLES = {
    "improved": "green",
    "neutral": "default",
    "regressed": "red",
    "incorrect": "red",
    "resource_regression": "red",
}


def verdicts(found: Iterable[Verdict], folder: Path, written: Sequence[Path] = ()) -> None:
    """Print one row per arm, its reasons below, and where the record and the reports lie."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table("arm", "verdict", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("change", "95 % interval", "pairs", "correctness"):
        table.add_column(title, justify="right")
    found = list(found)
    for verdict in found:
        pairs = str(verdict.effect.pairs) if verdict.effect else "0"
        state = Text(STATES[verdict.state], style=f"bold {STYLES.get(verdict.state, 'yellow')}")
        figures = change(verdict.effect), span(verdict.effect), pairs, number(verdict.correctness)
        table.add_row(Text(verdict.arm), state, *figures)
    console.print(table)
    for verdict in found:
        for reason in verdict.reasons:
            console.print(Text(f"  {verdict.arm}: {reason}"), soft_wrap=True)
    for path in (folder, *written):
        console.print(Text(str(path), style="dim"), soft_wrap=True)
