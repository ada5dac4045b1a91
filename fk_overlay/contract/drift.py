"""Compares tasks with a release that need not be installed, nor be one that they were written for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from packaging.version import Version

from fk_overlay.contract.check import Finding
from fk_overlay.contract.compare import Change, compare
from fk_overlay.contract.moves import whereabouts
from fk_overlay.contract.release import Release, shortened
from fk_overlay.contract.store import admits, admitted, read
from fk_overlay.core import Contract, Fingerprint, Target, Task
from fk_overlay.errors import UsageError

Earlier = Callable[[str, str], Release | None]
"""Engine and version -> the stored release, if there is one."""


def drift(tasks: Iterable[Task], release: Release, earlier: Earlier, since: Release | None = None) -> list[Finding]:
    """How every place that ``tasks`` have in this engine differs in ``release`` from the nearest contract, or from what
    it was in the release ``since``.

    A task is held against the targets that admit the release; where none does, against those of the nearest lower
    release that it has a contract for (else of the lowest): what would it take to admit this one? With ``since``, the
    targets are those of that release.

    Raises:
        UsageError: no task has a target in this engine.
    """
    findings = [finding for task in tasks for finding in _of_task(task, release, earlier, since)]
    if not findings:
        raise UsageError(f"no task on the search path has a target in {release.engine}, so there is nothing to check")
    return findings


def _of_task(task: Task, release: Release, earlier: Earlier, since: Release | None) -> Iterator[Finding]:
    contract = _as_it_was(task, since) if since else _nearest(task, release)
    version = contract.version if contract else release.version
    targets = () if since else admitted(task, release.engine, release.version)
    targets = targets or admitted(task, release.engine, version)
    if not targets and (contract is None or since):
        targets = tuple(target for target in task.targets if target.engine == release.engine)
    for target in targets:
        outside = "" if admits(target, release.version) else target.versions
        for place in target.places:
            expected = contract.places.get(place) if contract else None
            change = _change(place, expected, release, version, earlier)
            known = version if contract else ""
            yield Finding(task.name, place, known, change.state, change.detail, change.diff, outside)


def _as_it_was(task: Task, since: Release) -> Contract:
    places = _places(target for target in task.targets if target.engine == since.engine)
    found = {place: fingerprint for place in places if (fingerprint := since.get(place))}
    return Contract(since.engine, since.version, found)


def _nearest(task: Task, release: Release) -> Contract | None:
    """The contract of the nearest lower release that is for the places which the release's targets name."""
    known = [contract for contract in read(task.folder) if contract.engine == release.engine]
    wanted = _places(admitted(task, release.engine, release.version))
    fitting = [contract for contract in known if wanted <= contract.places.keys()] or known
    lower = [contract for contract in fitting if Version(contract.version) <= Version(release.version)]
    return lower[-1] if lower else fitting[0] if fitting else None


def _places(targets: Iterable[Target]) -> set[str]:
    return {place for target in targets for place in target.places}


def _change(place: str, expected: Fingerprint | None, release: Release, version: str, earlier: Earlier) -> Change:
    found = release.get(place)
    if found is None:
        return whereabouts(place, expected, release, earlier(release.engine, version))
    if expected is None:
        return Change("new", "there was none before, or no contract of it; take a snapshot")
    return compare(shortened(expected), shortened(found))
