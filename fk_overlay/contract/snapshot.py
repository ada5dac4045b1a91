"""Takes contracts from source trees, installed or inside a wheel."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from fk_overlay.contract.definition import find
from fk_overlay.contract.release import Release
from fk_overlay.contract.sources import Sources
from fk_overlay.contract.store import admitted, version_of
from fk_overlay.core import Contract, Target, Task
from fk_overlay.errors import EngineError, FileError, UsageError


def snapshot(task: Task, engine: str, version: str, root: Path) -> Contract:
    """What the task's targets look like in the release whose top package lies in ``root``.

    Raises:
        EngineError: the task has no target in this release.
        DefinitionNotFound: a target is not there.
    """
    targets = admitted(task, engine, version)
    if not targets:
        raise EngineError(f"task {task.name!r} has no target in {engine} {version}; widen the versions of one")
    places = [place for target in targets for place in target.places]
    return Contract(engine, version_of(version), {place: find(root, place).fingerprint for place in places})


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel's Python sources. ``distribution`` is the normalised name, ``version`` the public one."""

    distribution: str
    version: str
    root: Path


@contextmanager
def opened(file: Path) -> Iterator[Wheel]:
    """Unpack the Python sources of a wheel, and nothing else, into a folder that is gone afterwards.

    Raises:
        FileError: ``file`` is not a wheel.
    """
    with tempfile.TemporaryDirectory(prefix="fk-overlay-") as folder:
        try:
            name, version, _, _ = parse_wheel_filename(file.name)
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder, [member for member in archive.namelist() if member.endswith(".py")])
        except (InvalidWheelFilename, zipfile.BadZipFile, OSError) as error:
            raise FileError(f"{file} is not a wheel that can be read: {error}") from error
        yield Wheel(str(name), version.public, Path(folder))


def engine_of(wheel: Wheel, tasks: Collection[Task]) -> str:
    """The engine whose targets lie in a package of this wheel; without any, the package that is called like the wheel.

    Raises:
        UsageError: it holds neither.
    """
    named = wheel.distribution.replace("-", "_")
    engines = {named: named, **{_package(target): target.engine for task in tasks for target in task.targets}}
    found = [engine for package, engine in engines.items() if (wheel.root / package).is_dir()]
    if not found:
        known = ", ".join(sorted(engines))
        raise UsageError(f"{named} {wheel.version} holds no package that tasks have targets in; looked for: {known}")
    return found[-1]


def release(tasks: Collection[Task], engine: str, version: str, root: Path) -> Release:
    """Everything that the engine's packages below ``root`` define, read when it is asked for."""
    targets = [target for task in tasks for target in task.targets if target.engine == engine]
    packages = sorted({_package(target) for target in targets}) or [engine]
    return Release(engine, version_of(version), Sources(root, packages))


def _package(target: Target) -> str:
    return target.module.partition(".")[0]
