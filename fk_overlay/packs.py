"""What makes a pack trustworthy: its digest, its lock, who may write to it, and where it may run.

``pack.lock`` is JSON: the sha256 of every file of the pack, and for every task and engine release the fingerprints of
the places that the patches were written against. It is made by ``fk-overlay pack lock`` and checked before every use.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from fk_overlay import catalog, tuned
from fk_overlay.contract import store
from fk_overlay.core import Pack
from fk_overlay.errors import PackError, UsageError

LOCK_FILE = "pack.lock"
IGNORED = frozenset({"__pycache__", LOCK_FILE})


@dataclass(frozen=True, slots=True)
class Machine:
    """What a pack's requirements are checked against."""

    engine: str
    version: str
    gpus: tuple[str, ...]


def files(folder: Path) -> Iterator[Path]:
    """Every file that belongs to the pack, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not IGNORED & set(path.relative_to(folder).parts):
            yield path


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file, by its path inside the pack."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)
    }


def digest(folder: Path) -> str:
    """One sha256 over the names and contents of all files."""
    return hashlib.sha256(json.dumps(hashes(folder), sort_keys=True).encode()).hexdigest()


def trusted(pack: Pack) -> Pack:
    """The pack with its digest, after checking who may write to it and that it is what its lock says.

    Raises:
        PackError: a file may be written by everyone, or differs from the lock.
    """
    _refuse_writable_by_all(pack.folder)
    lock = read_lock(pack)
    if lock is not None:
        _compare(pack, lock["files"], hashes(pack.folder))
    return replace(pack, digest=digest(pack.folder))


def unchanged(folder: Path, expected: str) -> None:
    """Raises :class:`PackError` if the pack may be written by everyone, or is not the one with this digest any more."""
    if not folder.is_dir():
        raise PackError(f"{folder} is gone; start the run again")
    _refuse_writable_by_all(folder)
    if digest(folder) != expected:
        raise PackError(f"{folder} changed since the run was planned; start the run again")


def lock(pack: Pack) -> Path:
    """Write the lock of a pack as it lies there now, with the contracts of its tasks."""
    tasks = catalog.tasks()
    if unknown := sorted({patch.task for patch in pack.patches} - tasks.keys()):
        raise UsageError(f"pack {pack.name!r}: no task called {', '.join(unknown)}; known: {', '.join(sorted(tasks))}")
    contracts = {
        patch.task: [asdict(contract) for contract in store.read(tasks[patch.task].folder)] for patch in pack.patches
    }
    return write_lock(pack, contracts)


def write_lock(pack: Pack, contracts: Mapping[str, object]) -> Path:
    path = pack.folder / LOCK_FILE
    lock = {"pack": pack.name, "files": hashes(pack.folder), "contracts": contracts}
    path.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def read_lock(pack: Pack) -> dict[str, dict[str, str]] | None:
    """The lock, or None if the pack has none. Raises :class:`PackError` if it cannot be read."""
    path = pack.folder / LOCK_FILE
    if not path.is_file():
        return None
    try:
        lock: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
        lock["files"].keys(), lock["contracts"].keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackError(
            f"{path} cannot be read ({error}); make it again: fk-overlay pack lock {pack.folder}"
        ) from error
    return lock


def require(pack: Pack, machine: Machine) -> None:
    """Raises :class:`PackError` with every reason why the pack may not run on this machine, or for a folder of kernel
    configurations that cannot be read."""
    reasons = [
        *_engine_reasons(pack, machine),
        *_gpu_reasons(pack, machine),
        *_package_reasons(pack),
        *_tuning_reasons(pack, machine),
    ]
    if reasons:
        raise PackError(f"pack {pack.name!r} does not run here: " + "; ".join(reasons))


def _engine_reasons(pack: Pack, machine: Machine) -> Iterator[str]:
    engines = pack.requires.engines
    if engines and machine.engine not in engines:
        yield f"it is for {', '.join(sorted(engines))}, this is {machine.engine}"
    elif not _admits(engines.get(machine.engine, ""), machine.version, pack):
        yield f"it needs {machine.engine} {engines[machine.engine]}, this is {machine.version}"


def _gpu_reasons(pack: Pack, machine: Machine) -> Iterator[str]:
    patterns = pack.requires.gpus
    if patterns and not machine.gpus:
        yield f"it needs a GPU of {', '.join(patterns)}, here is none"
    for gpu in machine.gpus:
        if patterns and not any(fnmatch.fnmatchcase(gpu, pattern) for pattern in patterns):
            yield f"it needs a GPU of {', '.join(patterns)}, here is {gpu}"


def _package_reasons(pack: Pack) -> Iterator[str]:
    for name, specifier in pack.requires.packages.items():
        version = _installed(name)
        if version is None:
            yield f"it needs {name} {specifier}, which is not installed"
        elif not _admits(specifier, version, pack):
            yield f"it needs {name} {specifier}, here is {version}"


def _tuning_reasons(pack: Pack, machine: Machine) -> Iterator[str]:
    """Kernel parameters that are good for one Triton can be bad for another, which compiles the kernel its own way."""
    for patch in pack.patches:
        if patch.seam == "tuning" and patch.meant_for(machine.engine):
            files = tuned.read(pack.folder / patch.file)
            wanted = sorted({each.triton for each in files.values() if each.triton is not None})
            here = _installed("triton")
            if wanted and wanted != [here]:
                yield f"{patch.file} was tuned with triton {', '.join(wanted)}, here is {here or 'none'}"


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _admits(specifier: str, version: str, pack: Pack) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version).public, prereleases=True)
    except InvalidSpecifier as error:
        raise PackError(
            f"pack {pack.name!r}: {specifier!r} is not a version specifier such as '>=0.26,<0.34'"
        ) from error


def _refuse_writable_by_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & stat.S_IWOTH:
            raise PackError(f"{path} may be written by everyone; a pack is code: chmod -R o-w {folder}")
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise PackError(f"{path} leads out of the pack, to {path.readlink()}; copy the file instead")


def _compare(pack: Pack, locked: Mapping[str, str], found: Mapping[str, str]) -> None:
    different = sorted(name for name in locked.keys() | found.keys() if locked.get(name) != found.get(name))
    if different:
        raise PackError(
            f"pack {pack.name!r} is not what its lock says: {', '.join(different)}. "
            f"If you changed it on purpose: fk-overlay pack lock {pack.folder}"
        )
