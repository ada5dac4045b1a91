"""What one release of an engine defines: every function and class of its package, by module.

A release is read from sources, module by module as they are asked for, or from an index that was stored before
(:mod:`fk_overlay.contract.archive`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fk_overlay.core import Fingerprint

DIGITS = 8
"""Hex digits of a body hash that an index keeps: 32 bits tell two versions of one function apart, and rarely take one
of 50,000 other functions for it."""


@dataclass(frozen=True, slots=True)
class Module:
    """One source file.

    Attributes:
        places: qualified name of a function, method or class -> what it looks like.
        bases: qualified name of a class -> the classes of the same package that it derives from, as
            ``module:qualname``.
        names: what the module only passes on, imported or assigned under a name of its own -> ``module:qualname``.
    """

    places: Mapping[str, Fingerprint]
    bases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """One release of an engine. ``version`` is the public one."""

    engine: str
    version: str
    modules: Mapping[str, Module]

    def __str__(self) -> str:
        return f"{self.engine} {self.version}"

    def get(self, place: str) -> Fingerprint | None:
        """What is defined at ``module:qualname`` itself."""
        module, _, qualname = place.partition(":")
        known = self.modules.get(module)
        return known.places.get(qualname) if known is not None else None

    def origin(self, place: str) -> str | None:
        """Where a place that is not defined where it is named comes from: passed on by its module, or inherited.

        Followed through any number of modules; None if it leads out of the package. Base classes are searched as Python
        does: depth first, a class that is reached twice at the last place.
        """
        last = {here: index for index, here in enumerate(self._behind(place, (place,)))}
        return next((here for here in sorted(last, key=last.__getitem__) if self.get(here) is not None), None)

    def _behind(self, place: str, way: tuple[str, ...]) -> Iterator[str]:
        for here in self._one_step(place):
            if here not in way:
                yield here
                yield from self._behind(here, (*way, here))

    def _one_step(self, place: str) -> Iterator[str]:
        """The places that stand behind ``place``: ``A.method`` behind ``B.method`` if ``B`` derives from ``A`` or is
        another name of it."""
        name, _, qualname = place.partition(":")
        module = self.modules.get(name)
        if module is None:
            return
        parts = qualname.split(".")
        for length in range(len(parts), 0, -1):
            head, rest = ".".join(parts[:length]), parts[length:]
            if head in module.names:
                yield ".".join([module.names[head], *rest])
            yield from (".".join([base, *rest]) for base in module.bases.get(head, ()) if rest)

    def named(self, qualname: str) -> list[str]:
        """Every place of this qualified name."""
        return [f"{name}:{qualname}" for name, module in self.modules.items() if qualname in module.places]

    def alike(self, wanted: Fingerprint) -> list[str]:
        """Every place with these statements and the same parameters, whatever its name."""
        wanted = shortened(wanted)
        return [
            f"{name}:{qualname}"
            for name, module in self.modules.items()
            for qualname, found in module.places.items()
            if found.body[:DIGITS] == wanted.body and found.signature == wanted.signature
        ]


def shortened(fingerprint: Fingerprint) -> Fingerprint:
    """A fingerprint as an index keeps it."""
    return replace(fingerprint, body=fingerprint.body[:DIGITS])
