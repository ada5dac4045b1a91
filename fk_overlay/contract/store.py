"""Reads and writes ``contract.json``, which lies beside a task's ``task.toml``.

Its layout is ``{engine: {release: {place: {"signature": ..., "body": ...}}}}``.
"""

from __future__ import annotations

import json
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fk_overlay.core import Contract, Fingerprint, Target, Task
from fk_overlay.errors import ContractError, EngineError, FileError

FILE = "contract.json"


def contract_for(task: Task, engine: str, version: str) -> Contract:
    """The contract that holds in a release: its own, else that of the nearest lower release that every target which
    admits this release admits too.

    Raises:
        EngineError: the task has no target in this release.
        ContractError: no known release is near enough; the message names the known ones.
    """
    targets = admitted(task, engine, version)
    if not targets:
        described = ", ".join(f"{target.engine} {target.versions}" for target in task.targets) or "none"
        raise EngineError(f"task {task.name!r} has no target in {engine} {version}; it has targets in: {described}")
    known = [contract for contract in read(task.folder) if contract.engine == engine]
    lower = [contract for contract in known if Version(contract.version) <= Version(version_of(version))]
    near = [contract for contract in lower if all(admits(target, contract.version) for target in targets)]
    if not near:
        releases = ", ".join(contract.version for contract in known) or "none"
        raise ContractError(
            f"task {task.name!r} has no contract for {engine} {version}; known releases: {releases}. "
            "Take one with: fk-overlay contract snapshot"
        )
    nearest = max(near, key=lambda contract: Version(contract.version))
    places = {place for target in targets for place in target.places}
    return Contract(
        engine, nearest.version, {place: nearest.places[place] for place in nearest.places if place in places}
    )


def admitted(task: Task, engine: str, version: str) -> tuple[Target, ...]:
    """The task's targets in this release of this engine."""
    return tuple(target for target in task.targets if target.engine == engine and admits(target, version))


def admits(target: Target, version: str) -> bool:
    return SpecifierSet(target.versions).contains(version_of(version), prereleases=True)


def version_of(version: str) -> str:
    """The public part of a version: ``0.32.0+cpu`` is release ``0.32.0``."""
    return Version(version).public


def read(folder: Path) -> list[Contract]:
    """Every contract of the task in ``folder``, lowest release first; none if there is no file.

    Raises:
        FileError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        contracts = [
            Contract(engine, version, {place: Fingerprint(**values) for place, values in places.items()})
            for engine, releases in data.items()
            for version, places in releases.items()
        ]
        return sorted(contracts, key=_order)
    except (ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is not a contract file ({error}); restore it or take a new snapshot") from error


def write(folder: Path, contract: Contract) -> Path:
    """Add ``contract`` to the task in ``folder``, in place of an older one for the same release."""
    others = [old for old in read(folder) if (old.engine, old.version) != (contract.engine, contract.version)]
    data: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for each in sorted([*others, contract], key=_order):
        places = {place: {"signature": it.signature, "body": it.body} for place, it in sorted(each.places.items())}
        data.setdefault(each.engine, {})[each.version] = places
    path = folder / FILE
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _order(contract: Contract) -> tuple[str, Version]:
    return contract.engine, Version(contract.version)
