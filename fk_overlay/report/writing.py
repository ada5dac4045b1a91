"""Writes a run's report beside its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fk_overlay.errors import UsageError
from fk_overlay.report.summary import Summary, summarise

NAME = "report"


def write(folder: Path, html: bool = True, markdown: bool = True, json: bool = True) -> list[Path]:
    """Judge the run in ``folder`` again and write ``report.json``, ``report.md`` and ``report.html`` into it.

    The HTML comes last: it alone needs packages that may not be installed, and the other two are there in any case.

    Raises:
        RecordError: ``folder`` holds no readable record.
        UsageError: the HTML is wanted, and Jinja2 or Matplotlib is not installed.
    """
    summary = summarise(folder)
    views: list[tuple[bool, str, Callable[[Summary], str]]] = [
        (json, "json", _json),
        (markdown, "md", _markdown),
        (html, "html", _html),
    ]
    written = []
    for wanted, suffix, render in views:
        if wanted:
            path = folder / f"{NAME}.{suffix}"
            path.write_text(render(summary), encoding="utf-8")
            written.append(path)
    return written


def _json(summary: Summary) -> str:
    from fk_overlay.report.json import render

    return render(summary)


def _markdown(summary: Summary) -> str:
    from fk_overlay.report.markdown import render

    return render(summary)


def _html(summary: Summary) -> str:
    from fk_overlay.report.html import render

    try:
        return render(summary)
    except ModuleNotFoundError as error:
        raise UsageError(f"the HTML report needs {error.name}: pip install 'fk-overlay[report]'") from error
