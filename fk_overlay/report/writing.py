"""Writes a run's report beside its record, and several runs' table where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fk_overlay.errors import UsageError
from fk_overlay.report.summary import Summary, summarise

NAME = "report"
SIDE_BY_SIDE = "side-by-side"
View = tuple[bool, str, Callable[[], str]]
"""Whether it is wanted, its suffix, and its text."""


def write(folder: Path, html: bool = True, markdown: bool = True, json: bool = True) -> list[Path]:
    """Judge the run in ``folder`` again and write ``report.json``, ``report.md`` and ``report.html`` into it.

    The HTML comes last: it alone needs packages that may not be installed, and the other two are there in any case.

    Raises:
        RecordError: ``folder`` holds no readable record.
        UsageError: the HTML is wanted, and Jinja2 or Matplotlib is not installed.
    """
    summary = summarise(folder)
    views: list[View] = [
        (json, "json", lambda: _json(summary)),
        (markdown, "md", lambda: _markdown(summary)),
        (html, "html", lambda: _html(summary)),
    ]
    return _written(folder / NAME, views)


def write_side_by_side(
    folders: Sequence[Path], out: Path, html: bool = True, markdown: bool = True, json: bool = True
) -> list[Path]:
    """Judge several runs again and write one table of them all: ``out/side-by-side`` in each format.

    Raises:
        RecordError: a folder holds no readable record.
        UsageError: a run was given twice, or the HTML is wanted and Jinja2 is not installed.
    """
    from fk_overlay.report import side_views
    from fk_overlay.report.side_by_side import side_by_side

    found = side_by_side([summarise(folder) for folder in folders])
    views: list[View] = [
        (json, "json", lambda: side_views.json(found)),
        (markdown, "md", lambda: side_views.markdown(found)),
        (html, "html", lambda: _with_packages(lambda: side_views.html(found))),
    ]
    out.mkdir(parents=True, exist_ok=True)
    return _written(out / SIDE_BY_SIDE, views)


def _written(stem: Path, views: Sequence[View]) -> list[Path]:
    written = []
    for wanted, suffix, render in views:
        if wanted:
            path = stem.with_suffix(f".{suffix}")
            path.write_text(render(), encoding="utf-8")
            written.append(path)
    return written


def _json(summary: Summary) -> str:
    from fk_overlay.report.json import render

    return render(summary)


def _markdown(summary: Summary) -> str:
    from fk_overlay.report.markdown import render

    return render(summary)


def _html(summary: Summary) -> str:
    def page() -> str:
        from fk_overlay.report.html import render

        return render(summary)

    return _with_packages(page)


def _with_packages(page: Callable[[], str]) -> str:
    try:
        return page()
    except ModuleNotFoundError as error:
        raise UsageError(f"the HTML report needs {error.name}: pip install 'fk-overlay[report]'") from error
