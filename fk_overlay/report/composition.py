"""A composition on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fk_overlay.compose.outcome import Composition, Dropped, Marginal, Side
from fk_overlay.core import Effect
from fk_overlay.report.markdown import table
from fk_overlay.report.wording import DASH, STATES, change, number, span

NAME = "composition"
FORMAT = 1
HEAD_SIDES = ("pack", "patches", "verdict", "change", "95 % interval", "pairs", "correctness")
HEAD_PATCHES = ("patch", "state", "adds", "95 % interval", "pairs", "why")


def write(found: Composition, folder: Path) -> list[Path]:
    """Write ``composition.json`` and ``composition.md`` into ``folder``."""
    written = []
    for suffix, text in (("json", render_json(found)), ("md", render_markdown(found))):
        path = folder / f"{NAME}.{suffix}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def render_json(found: Composition) -> str:
    """Strict JSON: what is not finite is null."""
    return json.dumps(_strict({"format": FORMAT, **asdict(found)}), indent=1, allow_nan=False) + "\n"


def render_markdown(found: Composition) -> str:
    return "\n".join(_lines(found)).rstrip() + "\n"


def claim(found: Composition) -> str:
    """The composition in one line."""
    whole = len(found.as_is.patches)
    if found.repaired is None:
        return f"No patch of {found.pack} holds"
    kept, state = len(found.repaired.patches), found.repaired.state
    claimed = state in ("improved", "neutral", "regressed")
    gain = f", {change(found.repaired.effect)}" if claimed else ""
    what = f"All {whole} patches" if kept == whole else f"{kept} of {whole} patches"
    return f"{what} of {found.pack} hold together: {STATES[state]}{gain}"


def show(found: Composition, written: Sequence[Path]) -> None:
    """Print both tables and where the record and the reports lie."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for head, rows, left in ((HEAD_SIDES, sides(found), 3), (HEAD_PATCHES, patches(found), 2)):
        drawn = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        for position, title in enumerate(head):
            drawn.add_column(title, justify="left" if position < left or title == "why" else "right")
        for row in rows:
            drawn.add_row(*map(Text, row))
        console.print(drawn)
        console.print()
    console.print(Text(claim(found)), soft_wrap=True)
    console.print(Text(_effort(found), style="dim"), soft_wrap=True)
    for path in written:
        console.print(Text(str(path), style="dim"), soft_wrap=True)


def sides(found: Composition) -> Iterator[Sequence[str]]:
    yield _side("as is", found.as_is)
    yield _side("repaired", found.repaired) if found.repaired else ("repaired", "0", *(DASH,) * 5)


def patches(found: Composition) -> Iterator[Sequence[str]]:
    """One row for each patch: those that stay by what they add, then those that do not."""
    effects = [each for each in found.marginal if each.effect is not None]
    silent = [each for each in found.marginal if each.effect is None]
    for each in (*sorted(effects, key=lambda each: -each.effect.ratio if each.effect else 0.0), *silent):
        yield _kept(each)
    yield from map(_dropped, found.dropped)


def _side(name: str, side: Side) -> Sequence[str]:
    pairs = str(side.effect.pairs) if side.effect else DASH
    measured = _change(side.effect), span(side.effect), pairs
    return name, str(len(side.patches)), _state(side.state), *measured, number(side.correctness)


def _kept(each: Marginal) -> Sequence[str]:
    pairs = str(each.effect.pairs) if each.effect else DASH
    return each.patch, "kept", _change(each.effect), span(each.effect), pairs, each.reason


def _dropped(each: Dropped) -> Sequence[str]:
    partners = [name for name in each.conflict if name != each.patch]
    how = f"together with {', '.join(partners)}" if partners else each.how
    return each.patch, f"dropped: {_state(each.state)}", DASH, DASH, DASH, f"{how}: {each.reason}"


def _change(effect: Effect | None) -> str:
    """One pair is no measurement."""
    return change(effect) if effect is not None and effect.pairs > 1 else DASH


def _state(state: str) -> str:
    return STATES.get(state, state)


def _effort(found: Composition) -> str:
    return (
        f"{found.launches} launches: {found.trials} subsets tried, {found.rounds} rounds measured (mode {found.mode})"
    )


def _lines(found: Composition) -> Iterator[str]:
    yield f"# {claim(found)}"
    yield ""
    facts = (
        f"`{found.pack}` {found.digest[:12]}",
        f"{found.engine} {found.engine_version}",
        found.scenario,
        _effort(found),
    )
    yield " \u00b7 ".join(facts)
    yield ""
    yield from table(HEAD_SIDES, sides(found), left=3)
    yield ""
    yield (
        "What a patch adds is the repaired pack over the repaired pack without it: headline output throughput, 95 % "
        "Student t interval over restarts."
    )
    yield ""
    yield from table(HEAD_PATCHES, patches(found), left=2)
    for title, side in (("as is", found.as_is), ("repaired", found.repaired)):
        if side is not None and side.reasons:
            yield from ("", f"## {title.capitalize()}", "")
            yield from (f"- {reason}" for reason in side.reasons)
    if found.other_engines:
        yield from ("", f"Not judged, for other engines: {', '.join(found.other_engines)}")


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _strict(held) for key, held in value.items()}
    return [_strict(held) for held in value] if isinstance(value, list | tuple) else value
