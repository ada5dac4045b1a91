"""Stores releases as ``<engine>.jsonl.xz``: a line with the versions, then one line a release, newest first.

All releases of an engine share one file because most of a release is in the one before, too: compressed together they
take a third of what they take apart (vLLM: 0.9 MB alone, 1.2 MB for five). The text is decompressed no further than to
the line that is asked for.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from fk_overlay.contract.release import Module, Release
from fk_overlay.core import Fingerprint
from fk_overlay.errors import FileError, UsageError

FOLDER = "tasks/releases"
"""Where archives lie below each root of the search path."""
SUFFIX = ".jsonl.xz"
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 64 << 20}]
"""The window must reach back over a whole release, about 10 MB of text."""


def stored(folders: Iterable[Path]) -> dict[str, list[str]]:
    """Engine -> the versions that are stored in any of ``folders``, lowest first."""
    found: dict[str, set[str]] = {}
    for path in _archives(folders):
        found.setdefault(_engine(path), set()).update(_versions(path))
    return {engine: sorted(versions, key=Version) for engine, versions in sorted(found.items())}


def find(engine: str, version: str, folders: Iterable[Path]) -> Release | None:
    """The release from the first of ``folders`` that has it; None if none has."""
    for path in _archives(folders):
        for index, each in enumerate(_versions(path) if _engine(path) == engine else []):
            if Version(each) == Version(version):
                return Release(engine, each, _Stored(_line(path, index + 1)))
    return None


def load(wanted: str, folders: Iterable[Path]) -> Release:
    """The release that ``wanted`` names, as ``engine==version``, from the first of ``folders`` that has it.

    Raises:
        UsageError: it is not stored, or ``wanted`` names no single release; the message lists the stored ones.
        FileError: an archive is damaged.
    """
    folders = list(folders)
    engine, version = _parsed(wanted)
    release = find(engine, version, folders)
    if release is None:
        known = (f"{name}=={each}" for name, versions in stored(folders).items() for each in versions)
        raise UsageError(
            f"no index of {engine} {version} is stored; stored are: {', '.join(known) or 'none'}. Download the wheel "
            "(pip download --no-deps) and name its file instead, or keep its index: "
            "fk-overlay contract snapshot --index-only --wheel FILE"
        )
    return release


def store(release: Release, folder: Path) -> Path:
    """Add ``release`` to its engine's archive in ``folder``, in place of an older index of the same version.

    Raises:
        FileError: the archive that is there is damaged.
    """
    path = folder / f"{release.engine}{SUFFIX}"
    lines = dict(zip(_versions(path), _lines(path, 1), strict=True)) if path.is_file() else {}
    lines[release.version] = json.dumps(_plain(release), separators=(",", ":"), ensure_ascii=False)
    ordered = dict(sorted(lines.items(), key=lambda item: Version(item[0]), reverse=True))
    text = "\n".join([json.dumps(list(ordered)), *ordered.values(), ""])
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(lzma.compress(text.encode(), check=lzma.CHECK_CRC64, filters=XZ))
    partial.replace(path)
    return path


class _Stored(Mapping[str, Module]):
    """Modules as an archive's line has them, made into objects when they are asked for."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> Module:
        places, bases, names = self._data[name]
        described = {qualname: Fingerprint(*values) for qualname, values in places.items()}
        return Module(described, {owner: tuple(its) for owner, its in bases.items()}, names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def _plain(release: Release) -> dict[str, Any]:
    """What a line holds. Of the names that a module passes on, only those of functions and classes."""
    return {
        name: [
            {qualname: [found.signature, found.body] for qualname, found in module.places.items()},
            module.bases,
            {own: origin for own, origin in module.names.items() if release.origin(f"{name}:{own}")},
        ]
        for name, module in release.modules.items()
    }


def _parsed(wanted: str) -> tuple[str, str]:
    try:
        requirement = Requirement(wanted)
        (specifier,) = requirement.specifier
        if specifier.operator != "==":
            raise ValueError(specifier.operator)
        return requirement.name, str(Version(specifier.version))
    except (InvalidRequirement, ValueError) as error:
        raise UsageError(f"{wanted!r} names no release; write engine==version, or a wheel's file") from error


def _archives(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob(f"*{SUFFIX}"))


def _engine(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _versions(path: Path) -> list[str]:
    versions: list[str] = _line(path, 0)
    return versions


def _line(path: Path, number: int) -> Any:
    try:
        return json.loads(next(_lines(path, number), ""))
    except ValueError as error:
        raise _damaged(path, error) from error


def _lines(path: Path, first: int) -> Iterator[str]:
    """The archive's lines from the given one on."""
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            yield from (line.rstrip("\n") for number, line in enumerate(file) if number >= first)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(f"{path} is damaged ({error}); restore it, or delete it and snapshot the wheels again")
