"""What a profiler around the engine saw, on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from fk_overlay.profiling.tools import Kernel
from fk_overlay.profiling.wrapped import Wrapped
from fk_overlay.report.markdown import table
from fk_overlay.report.wording import DASH, number, share

NAME = "profile"
FORMAT = 1
HEAD = ("kernel", "task", "arm", "launches", "ms", "compute", "memory")


def write(found: Wrapped, folder: Path) -> list[Path]:
    """Write ``profile.json`` and ``profile.md`` into ``folder``."""
    lines = [f"# Kernels of {found.scenario}, {found.engine} {found.engine_version}, by {found.tool}", ""]
    lines += table(HEAD, rows(found), left=3)
    content = {"format": FORMAT, **asdict(found)}
    written = []
    for suffix, text in (("json", json.dumps(content, indent=1, allow_nan=False)), ("md", "\n".join(lines))):
        path = folder / f"{NAME}.{suffix}"
        path.write_text(text + "\n", encoding="utf-8")
        written.append(path)
    return written


def show(found: Wrapped, written: Sequence[Path]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    drawn = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for position, name in enumerate(HEAD):
        drawn.add_column(name, justify="left" if position < 3 else "right", overflow="fold")
    for row in rows(found):
        drawn.add_row(*map(Text, row))
    console.print(drawn)
    for path in written:
        console.print(Text(str(path), style="dim"), soft_wrap=True)


def rows(found: Wrapped) -> Iterator[Sequence[str]]:
    """Of each arm, what took longest first; shares of the peak where they were measured."""
    for arm, kernels in found.kernels.items():
        yield from (_row(arm, kernel) for kernel in kernels)


def _row(arm: str, kernel: Kernel) -> Sequence[str]:
    peaks = share(kernel.compute), share(kernel.memory)
    return kernel.name, kernel.task or DASH, arm, str(kernel.calls), number(kernel.us / 1000), *peaks
