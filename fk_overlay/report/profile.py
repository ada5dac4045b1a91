"""A profile on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from fk_overlay.profiling.breakdown import Breakdown, Part, Row
from fk_overlay.profiling.run import Profile
from fk_overlay.report.markdown import table
from fk_overlay.report.wording import DASH, number, percent, share

NAME = "profile"
FORMAT = 1
HEAD = ("task", "level", "calls", "own ms", "total ms", "share", "of roof", "at most")
LOG_WIDTH = 160
"""Columns where nobody sees the end of a line: in a file or a pipe."""
HEAD_AFTER = ("after ms", "change")
HEAD_PARTS = ("task", "operator or kernel", "calls", "ms")


def write(found: Profile, folder: Path) -> list[Path]:
    """Write ``profile.json`` and ``profile.md`` into ``folder``."""
    written = []
    for suffix, text in (("json", render_json(found)), ("md", render_markdown(found))):
        path = folder / f"{NAME}.{suffix}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def render_json(found: Profile) -> str:
    content = {"format": FORMAT, **asdict(found)}
    for how in ("eager", "written"):
        for plain, row in zip((content[how] or {"rows": ()})["rows"], _rows(getattr(found, how)), strict=True):
            plain |= {"at_most": row.at_most, "change": row.change}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def render_markdown(found: Profile) -> str:
    return "\n".join(_lines(found)).rstrip() + "\n"


def show(found: Profile, written: Sequence[Path]) -> None:
    """Print a table for each way in which the engine ran, and where the record and the reports lie."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, LOG_WIDTH)
    for title, each in _views(found):
        drawn = Table(title=title, title_justify="left", box=None, padding=(0, 3, 0, 0), header_style="dim")
        for position, name in enumerate(head(each)):
            drawn.add_column(name, justify="left" if position < 2 else "right", no_wrap=position < 2)
        for row in rows(each):
            drawn.add_row(*map(Text, row))
        console.print(drawn)
        console.print()
    console.print(Text(_overhead(found), style="dim"), soft_wrap=True)
    for path in written:
        console.print(Text(str(path), style="dim"), soft_wrap=True)


def head(found: Breakdown) -> tuple[str, ...]:
    return (*HEAD, *(HEAD_AFTER if found.after_window_ms is not None else ()))


def rows(found: Breakdown) -> Iterator[Sequence[str]]:
    """One row for each task, then what is in no task, and the rest of the window."""
    patched = found.after_window_ms is not None
    for row in found.rows:
        after = (number(row.after_total_ms), DASH if row.change is None else percent(row.change)) if patched else ()
        calls = str(row.calls) if row.calls else DASH
        bound = share(row.achieved), percent(row.at_most - 1)
        times = number(row.own_ms), number(row.total_ms), share(row.share), *bound
        yield row.task, row.level, calls, *times, *after
    rest = (("(in no task)", found.outside_ms), ("(nothing ran)", found.idle_ms))
    for name, ms in rest:
        padding = (DASH,) * (2 + 2 * patched)
        yield name, "", DASH, number(ms), number(ms), share(ms / found.window_ms), *padding


def _rows(found: Breakdown | None) -> tuple[Row, ...]:
    return found.rows if found is not None else ()


def _views(found: Profile) -> Iterator[tuple[str, Breakdown]]:
    for how, each in (("eager", found.eager), ("as the scenario is written, by kernel names", found.written)):
        if each is not None:
            clock = "time of kernels" if each.clock == "device" else "CPU time of operators"
            yield f"{clock}, {how}: {number(each.window_ms)} ms", each


def _lines(found: Profile) -> Iterator[str]:
    yield f"# Where the time goes: {found.scenario}, {found.engine} {found.engine_version}"
    yield ""
    yield (
        "*Own* time is in none of the tasks inside; *total* with them, which is what a patch for the task would "
        "replace. *At most*: how much faster the whole would be if the task ran at its roofline, or took no time where "
        "a bench does not say how near it is (Amdahl)."
    )
    if found.pack:
        yield f"*After*: total time with `{found.pack}`."
    for title, each in _views(found):
        yield from ("", f"## {title[0].upper()}{title[1:]}", "")
        yield from table(head(each), rows(each), left=2)
        yield ""
        parts = [(row.task, part) for row in each.rows for part in row.parts]
        patched = each.after_window_ms is not None
        yield from table((*HEAD_PARTS, *(HEAD_AFTER[:1] if patched else ())), (_part(*each) for each in parts), left=2)
    yield from ("", _overhead(found))


def _part(task: str, part: Part) -> Sequence[str]:
    after = () if part.after_ms is None else (number(part.after_ms),)
    return task, f"`{part.name}`", str(part.calls), number(part.ms), *after


def _overhead(found: Profile) -> str:
    slower = ", ".join(f"{arm} {times:.2f}x" for arm, times in found.overhead.items())
    once = " Before and after are one launch each, which is no verdict: fk-overlay run gives one." if found.pack else ""
    return f"Under the profiler the load took: {slower} the time it takes without.{once}"
