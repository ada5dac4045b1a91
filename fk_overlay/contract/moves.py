"""Says what became of a place that a release does not define where its contract says."""

from __future__ import annotations

from dataclasses import dataclass

from fk_overlay.contract.compare import Change, compare
from fk_overlay.contract.release import Release, shortened
from fk_overlay.core import Fingerprint

MANY = 3
"""Statements that more places than this share are too plain to know a function by."""
RANK = ("same", "compatible", "body", "changed")
"""States from the best match on."""


def whereabouts(place: str, expected: Fingerprint | None, release: Release, earlier: Release | None) -> Change:
    """``moved``, with where to and how it changed on the way, or ``gone``, with what is left in its stead.

    Args:
        expected: what the contract says of it; None if it does not name it.
        earlier: the release that the contract was taken from, if its index is stored: what had the same name there
            already is another thing, no place that this one moved to.
    """
    search = _Search(place, expected, release, earlier)
    return search.passed_on() or search.of_the_same_name() or search.renamed() or search.gone()


@dataclass(frozen=True, slots=True)
class _Search:
    place: str
    expected: Fingerprint | None
    release: Release
    earlier: Release | None

    def passed_on(self) -> Change | None:
        """Still to be had where it was, but defined elsewhere."""
        origin = self.release.origin(self.place)
        inherits = self.release.get(self.place.rpartition(".")[0]) is not None
        return self._moved(f"it is now {'inherited' if inherits else 'passed on'} from", origin) if origin else None

    def of_the_same_name(self) -> Change | None:
        owner, _, member = self.place.partition(":")[2].rpartition(".")
        found = [each for each in self.release.named(self.place.partition(":")[2]) if self._may_be_it(each)]
        if not found and owner:
            classes = [each for each in self.release.named(owner) if self._is_new(each)]
            found = [origin for each in classes if (origin := self.release.origin(f"{each}.{member}"))]
        if not found:
            return None
        first, *others = sorted(dict.fromkeys(found), key=self._likeness)
        return self._moved("it is now at", first, f"; also at {', '.join(others[:MANY])}" if others else "")

    def renamed(self) -> Change | None:
        """Told only against a known earlier release: there must be something new that does the same."""
        if self.expected is None or self.earlier is None:
            return None
        found = [place for place in self.release.alike(self.expected) if self._is_new(place)]
        told = f"the same statements are now at {' and '.join(found)}"
        return Change("moved", told) if 0 < len(found) <= MANY else None

    def gone(self) -> Change:
        name, _, qualname = self.place.partition(":")
        owner, _, member = qualname.rpartition(".")
        module = self.release.modules.get(name)
        if module is None:
            return Change("gone", f"there is no module {name} any more")
        if owner not in module.places:
            return Change("gone", f"{name} defines no {owner or qualname} any more")
        own = [each.rpartition(".") for each in module.places]
        left = [last for before, _, last in own if before == owner and not last.startswith("_")]
        return Change("gone", f"{owner} has no {member} any more, only {', '.join(left) or 'private methods'}")

    def _is_new(self, place: str) -> bool:
        return self.earlier is None or self.earlier.get(place) is None

    def _may_be_it(self, place: str) -> bool:
        return self._is_new(place) or self._compared(place).state == "same"

    def _likeness(self, candidate: str) -> tuple[int, int, str]:
        """Sorts the likeliest first: the one that changed least, then the one in the nearest module."""
        pairs = zip(self.place.split("."), candidate.split("."), strict=False)
        shared = next((index for index, (old, new) in enumerate(pairs) if old != new), 0)
        return RANK.index(self._compared(candidate).state), -shared, candidate

    def _moved(self, how: str, place: str, also: str = "") -> Change:
        change = self._compared(place)
        return Change("moved", f"{how} {place}, {change.detail or 'unchanged'}{also}", change.diff)

    def _compared(self, place: str) -> Change:
        found = self.release.get(place)
        if self.expected is None or found is None:
            return Change("changed", "which the contract does not name")
        return compare(shortened(self.expected), shortened(found))
