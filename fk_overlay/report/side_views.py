"""Runs side by side, as HTML, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from fk_overlay.report import wording
from fk_overlay.report.html import TONES, environment
from fk_overlay.report.json import FORMAT, dump
from fk_overlay.report.markdown import table
from fk_overlay.report.side_by_side import Row, SideBySide
from fk_overlay.report.wording import STATES, change, number, span

TEMPLATE = "side_by_side.html.j2"
HEAD = (
    "pack",
    "engine",
    "scenario",
    "verdict",
    "change",
    "95 % interval",
    "pairs",
    "correctness",
    "baseline",
    "candidate",
    "unit",
)
WORDS = 4
"""Columns of words, before those of figures; the verdict is the last of them."""


def html(found: SideBySide) -> str:
    """One self-contained page."""
    rows = [(row, cells(row)) for row in found.rows]
    template = environment().get_template(TEMPLATE)
    page: str = template.render(
        found=found, rows=rows, head=HEAD, words=WORDS, tone=lambda state: TONES.get(state, "void")
    )
    return page


def markdown(found: SideBySide) -> str:
    """GitHub-flavoured Markdown."""
    return "\n".join(_lines(found)) + "\n"


def json(found: SideBySide) -> str:
    """Strict JSON, keys stable within one ``format``."""
    rows = [{**asdict(row), "state": row.verdict.state, "claim": wording.claim(row.verdict)} for row in found.rows]
    return dump({"format": FORMAT, "notes": found.notes, "rows": rows})


def cells(row: Row) -> tuple[str, ...]:
    """What stands under ``HEAD``."""
    verdict, headline = row.verdict, row.headline
    return (
        verdict.arm,
        row.place,
        row.scenario,
        STATES[verdict.state],
        change(verdict.effect),
        span(verdict.effect),
        str(verdict.effect.pairs if verdict.effect else 0),
        number(verdict.correctness),
        number(headline.baseline if headline else None),
        number(headline.candidate if headline else None),
        headline.unit if headline else wording.DASH,
    )


def _lines(found: SideBySide) -> Iterator[str]:
    yield "# " + ", ".join(dict.fromkeys(row.verdict.arm for row in found.rows))
    yield ""
    yield from (f"> {note}\n" for note in found.notes)
    yield from table(HEAD, map(cells, found.rows), left=WORDS)
    yield ""
    for row in found.rows:
        yield from (f"- {row.verdict.arm}, {row.place}: {reason}" for reason in row.verdict.reasons)
    yield ""
    yield "Runs: " + ", ".join(f"`{name}`" for name in dict.fromkeys(row.run_id for row in found.rows))
