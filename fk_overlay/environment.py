"""The environment variables that fk-overlay reads: one table, every value checked. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fk_overlay.errors import UsageError


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. ``parse`` turns its text into a value and raises ValueError with what is allowed."""

    name: str
    meaning: str
    parse: Callable[[str], object]
    default: str = ""


def _existing(text: str) -> tuple[Path, ...]:
    paths = tuple(Path(part).expanduser().absolute() for part in text.split(os.pathsep) if part)
    if not paths:
        raise ValueError("it names nothing")
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist")
    return paths


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    return path


OVERLAY = Variable("FK_OVERLAY", "a plan file, or pack folders, to put into every engine process", _existing)
PATH = Variable("FK_OVERLAY_PATH", "folders with tasks/, patches/ and scenarios/ of your own", _existing)
HOME = Variable(
    "FK_OVERLAY_HOME", "where converted checkpoints and compile caches are kept", _folder, "~/.cache/fk-overlay"
)
RECEIPTS = Variable("FK_OVERLAY_RECEIPTS", "folder for receipts when a pack runs without a plan", _folder)

TABLE: Mapping[str, Variable] = {variable.name: variable for variable in (OVERLAY, PATH, HOME, RECEIPTS)}


def _value(variable: Variable) -> object | None:
    text = os.environ.get(variable.name, variable.default)
    if not text:
        return None
    try:
        return variable.parse(text)
    except ValueError as error:
        raise UsageError(f"{variable.name}={text!r}: {error} ({variable.name} is {variable.meaning})") from error


def overlay() -> tuple[Path, ...]:
    """Value of ``FK_OVERLAY``, empty if unset. Raises :class:`UsageError` for a path that does not exist."""
    value = _value(OVERLAY)
    assert value is None or isinstance(value, tuple)
    return value or ()


def search_path() -> tuple[Path, ...]:
    """Value of ``FK_OVERLAY_PATH``, empty if unset."""
    value = _value(PATH)
    assert value is None or isinstance(value, tuple)
    return value or ()


def home() -> Path:
    """Value of ``FK_OVERLAY_HOME``; the folder is made by whoever writes to it."""
    value = _value(HOME)
    assert isinstance(value, Path)
    return value


def receipts() -> Path | None:
    """Value of ``FK_OVERLAY_RECEIPTS``, None if unset."""
    value = _value(RECEIPTS)
    assert value is None or isinstance(value, Path)
    return value


def unknown() -> list[str]:
    """Variables that begin like ours and that nobody reads: misspellings, most likely."""
    return sorted(name for name in os.environ if name.startswith("FK_OVERLAY") and name not in TABLE)
