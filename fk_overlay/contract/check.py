"""Compares tasks with an installed engine: a table of drift for people, a hard stop for engine processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fk_overlay.contract.compare import Change, State, compare
from fk_overlay.contract.definition import Definition, DefinitionNotFound, find
from fk_overlay.contract.store import admitted, contract_for
from fk_overlay.core import Fingerprint, Task
from fk_overlay.errors import ContractError

CALLABLE: tuple[State, ...] = ("same", "compatible", "body")
"""States in which a patch that fits the contract can still be called as the engine calls the target."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place of one task, compared with a release of its engine.

    Attributes:
        release: the one that the contract was taken from; empty if there is no contract.
        diff: lines of a unified diff of the signatures.
        outside: the target's versions, if they leave the compared release out.
    """

    task: str
    place: str
    release: str
    state: State
    detail: str
    diff: tuple[str, ...] = ()
    outside: str = ""


def check(tasks: Iterable[Task], engine: str, version: str, root: Path) -> list[Finding]:
    """Every place that ``tasks`` have in this release, and how it differs from its contract.

    Args:
        root: folder that holds the engine's top package.
    """
    present = [task for task in tasks if admitted(task, engine, version)]
    return [finding for task in present for finding in _findings(task, engine, version, root)]


def verify(expected: Mapping[str, Fingerprint], root: Path, *, strict_body: bool) -> dict[str, Definition]:
    """Where the contract's places are defined, if they are what the contract says.

    Args:
        expected: place -> fingerprint, from :func:`fk_overlay.contract.store.contract_for`.
        strict_body: refuse a changed body too, as scoring does: it would be another baseline than the task describes.

    Raises:
        ContractError: a place is gone, moved, or looks different; the message lists every such place.
    """
    found, wrong = {}, []
    for place, fingerprint in expected.items():
        change, definition = _compared(root, place, fingerprint)
        if definition is not None and change.state in CALLABLE and not (strict_body and change.state == "body"):
            found[place] = definition
        else:
            wrong.append(f"{place}: {change.state}: {change.detail}")
    if wrong:
        raise ContractError(
            "the installed engine is not what the contract says:\n  "
            + "\n  ".join(wrong)
            + "\nInstall a release that the task describes, or adapt the task and take a new snapshot"
        )
    return found


def _findings(task: Task, engine: str, version: str, root: Path) -> list[Finding]:
    places = [place for target in admitted(task, engine, version) for place in target.places]
    try:
        contract = contract_for(task, engine, version)
    except ContractError as error:
        return [Finding(task.name, place, "", "new", str(error)) for place in places]
    findings = []
    for place in places:
        change, _ = _compared(root, place, contract.places.get(place))
        findings.append(Finding(task.name, place, contract.version, change.state, change.detail, change.diff))
    return findings


def _compared(root: Path, place: str, expected: Fingerprint | None) -> tuple[Change, Definition | None]:
    try:
        definition = find(root, place)
    except DefinitionNotFound as error:
        return Change("moved" if error.moved else "gone", str(error)), None
    if expected is None:
        return Change("new", "the contract does not name this place; take a new snapshot"), definition
    return compare(expected, definition.fingerprint), definition
