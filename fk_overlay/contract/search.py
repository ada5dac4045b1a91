"""Where a name is defined now, when it is no longer where a contract says. Bounded, since engines are large."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fk_overlay.contract.syntax import parsed, reach

MAX_FILES = 10_000
MAX_BYTES = 2_000_000
MAX_PLACES = 5


def elsewhere(root: Path, place: str) -> tuple[str, ...]:
    """Places below the same top package that define the qualified name of ``place``, at most five.

    Reads at most ten thousand files of at most 2 MB.
    """
    module, _, qualname = place.partition(":")
    head = re.escape(qualname.partition(".")[0])
    pattern = re.compile(rf"^\s*(?:(?:async\s+)?def|class)\s+{head}\b|^\s*{head}\s*[:=]", re.MULTILINE)
    found: list[str] = []
    for file in _sources(root / module.partition(".")[0]):
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        if pattern.search(text) and _defines(text, qualname):
            found.append(f"{_module(root, file)}:{qualname}")
        if len(found) == MAX_PLACES:
            break
    return tuple(found)


def _sources(package: Path) -> Iterator[Path]:
    for count, file in enumerate(sorted(package.rglob("*.py"))):
        if count == MAX_FILES:
            return
        if file.stat().st_size <= MAX_BYTES:
            yield file


def _defines(text: str, qualname: str) -> bool:
    try:
        return reach(parsed(text), qualname) is not None
    except SyntaxError:
        return False


def _module(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
