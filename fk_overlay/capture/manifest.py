"""The manifest of a capture: one row a case, as Parquet for large sets or as JSON lines for small ones in a repository.

Parquet has a column for each field; nested ones hold JSON, so that any tool can filter by task, target, calls and time.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fk_overlay.errors import FileError, UsageError

Form = Literal["parquet", "jsonl"]
NAMES: Mapping[Form, str] = {"parquet": "manifest.parquet", "jsonl": "manifest.jsonl"}
NESTED = ("signature", "results", "surroundings", "snapshots")


def require(form: Form) -> None:
    """Raises :class:`UsageError` if this form cannot be written here; asked before an engine is started."""
    if form == "parquet":
        _parquet()


def write(folder: Path, rows: Sequence[Mapping[str, Any]], form: Form) -> Path:
    path = folder / NAMES[form]
    if form == "jsonl":
        lines = (json.dumps(row, sort_keys=True) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
        return path
    arrow, parquet = _parquet()
    flat = [{name: json.dumps(value) if name in NESTED else value for name, value in row.items()} for row in rows]
    parquet.write_table(arrow.Table.from_pylist(flat), path, compression="zstd")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Raises :class:`FileError` if the file cannot be read as what its name says."""
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        _, parquet = _parquet()
        flat = parquet.read_table(path).to_pylist()
        return [{name: json.loads(value) if name in NESTED else value for name, value in row.items()} for row in flat]
    except (OSError, ValueError, TypeError) as error:
        raise FileError(f"{path} cannot be read ({error}); restore it or capture again") from error


def _parquet() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        advice = "pip install 'fk-overlay[capture]', or --manifest jsonl"
        raise UsageError(f"a Parquet manifest needs pyarrow ({error}): {advice}") from error
