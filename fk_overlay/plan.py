"""What one engine process must do, as one JSON file: which patches go where, and where its receipts go.

The launcher writes a plan for every start of an engine; ``FK_OVERLAY`` names it. In production ``FK_OVERLAY`` names
pack folders instead, and each process makes the same plan for itself.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fk_overlay.contract.store import admitted, contract_for
from fk_overlay.core import Arm, Fingerprint, Pack, Patch, SeamName, Target, Task
from fk_overlay.errors import ContractError, FileError

FORMAT = 1
Purpose = Literal["timed", "witness", "capture", "profile", "production"]


@dataclass(frozen=True, slots=True)
class Swap:
    """One patch at one target.

    Attributes:
        expected: the contract: place -> fingerprint that the patch was written against.
        sha256: of ``file``; for a folder of configuration files, of the pack.
    """

    pack: str
    pack_folder: Path
    pack_digest: str
    task: str
    target: Target
    seam: SeamName
    file: Path
    sha256: str
    symbol: str
    options: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Fingerprint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watch:
    """One target whose calls are recorded.

    Attributes:
        values: arguments whose values are kept first, since they steer the work.
        expected: the contract: place -> fingerprint.
    """

    task: str
    target: Target
    values: tuple[str, ...]
    expected: Mapping[str, Fingerprint]

    @property
    def places(self) -> tuple[str, ...]:
        """The functions that are called; of a model class its ``forward``."""
        return tuple(f"{place}.forward" if self.target.seam == "model" else place for place in self.target.places)


@dataclass(frozen=True, slots=True)
class Recording:
    """What a capture run records.

    Attributes:
        samples: calls of each case whose values are kept, where they fit.
        budget_bytes: values that are kept by all ranks together.
        module_bytes: size of a weight up to which its values are kept.
    """

    folder: Path
    watches: tuple[Watch, ...]
    seed: int = 0
    samples: int = 2
    budget_bytes: int = 128 << 20
    module_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Profiling:
    """What a profiled launch records.

    Attributes:
        watches: the targets that get ranges.
        tool: ``torch``: torch's profiler with ranges. ``kernels``: the same without ranges, for launches whose calls
            Python does not see. ``nvtx``: ranges for a profiler around the process.
    """

    folder: Path
    watches: tuple[Watch, ...]
    tool: Literal["torch", "kernels", "nvtx"] = "torch"


@dataclass(frozen=True, slots=True)
class Plan:
    """The orders of one process. ``receipts`` is None where nobody asks for proof; ``strict`` makes a changed function
    body an error (scoring) instead of a warning (production)."""

    engine: str
    arm: str
    digest: str
    purpose: Purpose
    receipts: Path | None
    swaps: tuple[Swap, ...] = ()
    strict: bool = True
    capture: Recording | None = None
    profile: Profiling | None = None

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1, default=str), encoding="utf-8")
        path.chmod(0o600)
        return path

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises :class:`FileError` if the file cannot be read, may be written by everyone, or is not a plan."""
        try:
            if path.stat().st_mode & stat.S_IWOTH:
                raise FileError(f"{path} may be written by everyone; a plan decides what code runs: chmod o-w {path}")
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT:
                raise FileError(f"{path} is a plan of another version of fk-overlay; start the run again")
            return _revived(data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileError(f"{path} is not a readable plan ({type(error).__name__}: {error})") from error


def make(
    arm: Arm,
    tasks: Mapping[str, Task],
    engine: str,
    version: str,
    *,
    purpose: Purpose,
    receipts: Path | None,
    strict: bool = True,
) -> Plan:
    """The plan that puts ``arm`` into a process of ``engine`` at ``version``.

    Raises:
        ContractError: a patch's task is unknown, or describes no target in this release.
    """
    swaps = tuple(
        swap
        for pack in arm.packs
        for patch in pack.patches
        if patch.meant_for(engine)
        for swap in _swaps(pack, patch, tasks, engine, version)
    )
    return Plan(engine, arm.name, arm.digest, purpose, receipts, swaps, strict)


def watches(tasks: Iterable[Task], engine: str, version: str) -> tuple[Watch, ...]:
    """What to record of these tasks in this release; nothing of a task that has no target in it.

    Raises:
        ContractError: there is no contract near this release.
    """
    found = []
    for task in tasks:
        for target in admitted(task, engine, version):
            contract = contract_for(task, engine, version)
            expected = {place: contract.places[place] for place in target.places}
            found.append(Watch(task.name, target, task.data_dependent, expected))
    return tuple(found)


def targets_of(task: Task, engine: str, version: str) -> tuple[Target, ...]:
    """The task's targets in this release. Raises :class:`ContractError` naming the described releases if there is
    none."""
    found = admitted(task, engine, version)
    if not found:
        known = ", ".join(f"{target.engine} {target.versions}" for target in task.targets) or "none"
        raise ContractError(f"task {task.name!r} describes no target in {engine} {version}; it describes: {known}")
    return found


def _swaps(pack: Pack, patch: Patch, tasks: Mapping[str, Task], engine: str, version: str) -> Iterable[Swap]:
    if patch.task not in tasks:
        raise ContractError(f"pack {pack.name!r}: no task called {patch.task!r}; known: {', '.join(sorted(tasks))}")
    task = tasks[patch.task]
    contract = contract_for(task, engine, version)
    file = pack.folder / patch.file
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else pack.digest
    for target in targets_of(task, engine, version):
        seam = patch.seam or target.seam
        expected = {place: contract.places[place] for place in target.places if place in contract.places}
        if missing := set(target.places) - expected.keys():
            raise ContractError(
                f"task {task.name!r}: no contract for {', '.join(sorted(missing))} in {engine} {version}"
            )
        yield Swap(
            pack.name,
            pack.folder,
            pack.digest,
            task.name,
            target,
            seam,
            file,
            sha256,
            patch.symbol,
            patch.options,
            expected,
        )


def _revived(data: dict[str, Any]) -> Plan:
    swaps = tuple(
        Swap(
            **{
                **swap,
                "pack_folder": Path(swap["pack_folder"]),
                "file": Path(swap["file"]),
                "target": _target(swap["target"]),
                "expected": _prints(swap["expected"]),
            }
        )
        for swap in data.pop("swaps")
    )
    receipts, capture, profile = data.pop("receipts"), data.pop("capture"), data.pop("profile")
    return Plan(
        swaps=swaps,
        receipts=Path(receipts) if receipts else None,
        capture=Recording(**_watching(capture)) if capture else None,
        profile=Profiling(**_watching(profile)) if profile else None,
        **data,
    )


def _watching(data: dict[str, Any]) -> dict[str, Any]:
    found = tuple(
        Watch(each["task"], _target(each["target"]), tuple(each["values"]), _prints(each["expected"]))
        for each in data["watches"]
    )
    return {**data, "folder": Path(data["folder"]), "watches": found}


def _target(data: dict[str, Any]) -> Target:
    return Target(**{**data, "members": tuple(data["members"])})


def _prints(data: dict[str, dict[str, str]]) -> dict[str, Fingerprint]:
    return {place: Fingerprint(**print_) for place, print_ in data.items()}
