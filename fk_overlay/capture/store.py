"""A capture on disk: what targets of one engine release received under one scenario.

A folder holds ``capture.json`` (what was recorded, where, and the manifest's hash), the manifest (one row a case,
Parquet or JSON lines) and ``tensors/<sha256>.safetensors``. Every file is named or covered by a hash, so that damage is
noticed when it is read::

    capture = store.read("reports/captures/x", engine="vllm", version="0.32.0")
    for case in sorted(capture.cases, key=lambda case: -case.weight):
        values = case.values()
        target(values.module, *values.args, **values.kwargs)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fk_overlay.capture import manifest
from fk_overlay.capture.signature import (
    Argument,
    Module,
    Snapshot,
    revive_arguments,
    revive_module,
    revive_snapshot,
    used,
)
from fk_overlay.contract.store import contract_for, version_of
from fk_overlay.core import Contract, Task
from fk_overlay.errors import ContractError, EngineError, FileError

if TYPE_CHECKING:
    from fk_overlay.capture.values import Build, Draw, Values

KIND, FORMAT = "fk-overlay capture", 1
HEADER, TENSORS = "capture.json", "tensors"
TIME = (
    "seconds: median host time of one call, the device synchronised before and after, engine eager, the recorder's own "
    "work inside nested targets taken out; a case that was only called while others were timed has a rougher one"
)


@dataclass(frozen=True, slots=True)
class Case:
    """Calls of one target that look alike.

    Attributes:
        id: names task, target, rank, signature and module recipe; the same calls have the same id in every capture.
        target: ``module:Qualified.name`` of the function that was called.
        signature: the arguments in the order in which the target receives them, without ``self``.
        results: what came back; ``storage`` numbers are those of ``signature``, so a result in an argument's memory
            shows.
        surroundings: what the target reads from the engine's forward context (slot mapping, block table, sequence
            lengths), as one object called ``context``; an example, see ``snapshots`` for those of one call.
        module: id in ``modules`` of the instance that the method was called on; empty for a function.
        modules: recipes of the modules that the case has to do with.
        calls: how often; ``timed``: how many of them were timed; ``seconds``: see :data:`TIME`.
        snapshots: calls whose values were kept, drawn uniformly from all.
        folder: of the capture.
    """

    id: str
    task: str
    engine: str
    engine_version: str
    target: str
    rank: int
    signature: tuple[Argument, ...]
    results: tuple[Argument, ...]
    surroundings: tuple[Argument, ...]
    module: str
    modules: Mapping[str, Module]
    calls: int
    timed: int
    seconds: float
    snapshots: tuple[Snapshot, ...]
    folder: Path

    @property
    def weight(self) -> float:
        """Seconds that the scenario spent here: calls times time per call."""
        return self.calls * self.seconds

    @property
    def replayable(self) -> bool:
        """Whether every argument can be given again; False if one is an object of the engine's own."""
        return not self.foreign

    @property
    def foreign(self) -> set[str]:
        """Arguments that are objects of the engine's own, or hold some."""
        return {each.name for each in self.signature if any(part.kind == "object" for _, part in each.walk())}

    def values(
        self, snapshot: int = 0, *, device: str | None = None, draw: Draw | None = None, build: Build | None = None
    ) -> Values:
        """Arguments of one call of this case, on memory of their own that overlaps as it did in the engine.

        Args:
            snapshot: which of ``snapshots``. A case without any is drawn as a whole.
            device: where to put tensors; default: where they were.
            draw: ``draw(path, argument, moments)`` gives a tensor whose values were not kept, on the CPU. Default:
                normal with the recorded moments, or uniform integers between the recorded bounds, seeded by case and
                path.
            build: ``build(recipe, tensors)`` gives a module from its recipe. Default: a stand-in that has the recorded
                attributes and tensors and cannot be called.

        Raises:
            FileError: the tensors are missing or damaged.
        """
        from fk_overlay.capture.values import load

        return load(self, snapshot, device=device, draw=draw, build=build)


@dataclass(frozen=True, slots=True)
class Capture:
    """A folder of cases.

    Attributes:
        contracts: task -> hash of the contract that the engine was checked against.
        graph_sizes: batch sizes that CUDA graphs pad to when the scenario runs as it is written; empty without graphs.
        header: all of ``capture.json``: scenario, model, resolved configuration, overhead, state of every place.
    """

    folder: Path
    engine: str
    engine_version: str
    model: str
    scenario: str
    contracts: Mapping[str, str]
    graph_sizes: tuple[int, ...]
    cases: tuple[Case, ...]
    header: Mapping[str, Any] = field(default_factory=dict)

    def of_task(self, task: str) -> tuple[Case, ...]:
        """The task's cases, heaviest first."""
        return tuple(sorted((case for case in self.cases if case.task == task), key=lambda case: -case.weight))

    def padded(self, tokens: int) -> int | None:
        """Size that a decode batch of ``tokens`` has inside a CUDA graph; None if it runs without one."""
        return min((size for size in self.graph_sizes if size >= tokens), default=None)

    def check(self, *, engine: str, version: str, tasks: Mapping[str, Task] | None = None) -> None:
        """Raises :class:`EngineError` if the cases are of another engine or release, :class:`ContractError` if a task's
        target has changed since."""
        if (self.engine, version_of(self.engine_version)) != (engine, version_of(version)):
            raise EngineError(
                f"{self.folder} was captured from {self.engine} {self.engine_version}, this is {engine} {version}; "
                "capture again: fk-overlay capture"
            )
        for name in sorted(self.contracts.keys() & (tasks or {}).keys()):
            if contract_hash(contract_for((tasks or {})[name], engine, version)) != self.contracts[name]:
                raise ContractError(
                    f"{self.folder}: the target of task {name!r} has changed since it was captured; "
                    "capture again: fk-overlay capture"
                )


def read(
    folder: str | Path,
    *,
    engine: str | None = None,
    version: str | None = None,
    tasks: Mapping[str, Task] | None = None,
) -> Capture:
    """The capture in ``folder``.

    Args:
        engine, version: refuse cases of another engine or release; local parts such as ``+cpu`` do not count.
        tasks: refuse cases whose task has another contract now.

    Raises:
        FileError: there is no capture, it is damaged, or it was written by another version of fk-overlay.
        EngineError, ContractError: see :meth:`Capture.check`.
    """
    place = Path(folder)
    header = _header(place)
    try:
        modules = {int(rank): _modules(found) for rank, found in header["modules"].items()}
        rows = manifest.read(place / header["manifest"]["file"])
        cases = tuple(_case(row, header, place, modules[row["rank"]]) for row in rows)
        capture = Capture(
            place,
            header["engine"],
            header["engine_version"],
            header["model"],
            header["scenario"],
            header["contracts"],
            tuple(header["graph_sizes"]),
            cases,
            header,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(
            f"{place} is not a readable capture ({type(error).__name__}: {error}); capture again"
        ) from error
    _require_tensors(capture)
    if engine is not None:
        capture.check(engine=engine, version=version or header["engine_version"], tasks=tasks)
    return capture


def write(folder: Path, facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], form: manifest.Form) -> Path:
    """Write manifest and header over tensors that are in place already.

    Args:
        facts: engine, engine_version, model, scenario, contracts, graph_sizes, modules (rank -> id -> recipe) and
            whatever else the header is to hold.
        rows: fields of :class:`Case` without engine, engine_version, modules and folder, as JSON can hold them.
    """
    (folder / TENSORS).mkdir(parents=True, exist_ok=True)
    path = manifest.write(folder, rows, form)
    described = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "cases": len(rows)}
    header = {"kind": KIND, "format": FORMAT, "time": TIME, **facts, "manifest": described}
    header["digest"] = _digest(header)
    (folder / HEADER).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    return folder


def contract_hash(contract: Contract) -> str:
    """Names a contract: equal hashes, equal signatures and bodies."""
    prints = {place: asdict(fingerprint) for place, fingerprint in contract.places.items()}
    return hashlib.sha256(json.dumps(prints, sort_keys=True).encode()).hexdigest()[:16]


def tensor_file(folder: Path, name: str) -> Path:
    return folder / TENSORS / f"{name}.safetensors"


def _digest(header: Mapping[str, Any]) -> str:
    content = {key: value for key, value in header.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind, form = header["kind"], header["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{folder} is not a capture ({type(error).__name__}: {error}); make one: fk-overlay capture"
        ) from error
    if kind != KIND or form != FORMAT:
        raise FileError(f"{path} is {kind!r} of format {form}, this is {KIND!r} of format {FORMAT}; capture again")
    if header.get("digest") != _digest(header):
        raise FileError(f"{path} was changed after it was written; restore it or capture again")
    listed = folder / header["manifest"]["file"]
    if not listed.is_file() or hashlib.sha256(listed.read_bytes()).hexdigest() != header["manifest"]["sha256"]:
        raise FileError(f"{listed} is not the manifest that {path} describes; restore it or capture again")
    return header


def _modules(data: Mapping[str, Any]) -> dict[str, Module]:
    return {name: revive_module(each) for name, each in data.items()}


def _case(data: Mapping[str, Any], header: Mapping[str, Any], folder: Path, modules: Mapping[str, Module]) -> Case:
    revived: dict[str, Any] = {name: revive_arguments(data[name]) for name in ("signature", "results", "surroundings")}
    revived["modules"] = {name: modules[name] for name in sorted({data["module"], *used(revived["signature"])} - {""})}
    revived["snapshots"] = tuple(revive_snapshot(each) for each in data["snapshots"])
    where = {"engine": header["engine"], "engine_version": header["engine_version"], "folder": folder}
    return Case(**{**data, **revived, **where})


def _require_tensors(capture: Capture) -> None:
    """That each file is there; its content is checked when it is loaded."""
    for name in tensor_names(capture.cases):
        if not tensor_file(capture.folder, name).is_file():
            raise FileError(f"{tensor_file(capture.folder, name)} is missing; restore it or capture again")


def tensor_names(cases: Sequence[Case]) -> list[str]:
    """Names of all tensor files that the cases refer to."""
    snapshots = [snapshot for case in cases for snapshot in case.snapshots]
    snapshots += [module.snapshot for case in cases for module in case.modules.values() if module.snapshot]
    return sorted({snapshot.file for snapshot in snapshots if snapshot.file})
