"""Folders that are made once and then shared: complete or not there, whoever is killed in between."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "fk-overlay.json"


def made_once(folder: Path, origin: dict[str, Any], make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make`` unless it already holds what ``make`` left there for the same ``origin``.

    ``make`` fills a folder beside it, which takes its name when everything is in it, the manifest last. One process
    at a time; the others wait and use its result.

    Args:
        origin: what the content follows from (a checksum, a version); JSON. Another origin: the folder is made again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if _manifest(folder) != {"origin": origin, "sizes": _sizes(folder)}:
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            (partial / MANIFEST).write_text(json.dumps({"origin": origin, "sizes": _sizes(partial)}), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    return folder


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> object:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _sizes(folder: Path) -> dict[str, int]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock; the system drops it when the process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
