"""Runs a function right after a module was imported, at once if it already is, and again whenever it is loaded anew.

Targets are swapped when the engine itself imports them: nothing is imported that the process does not need, and no
import order changes. The finder sits first on ``sys.meta_path`` and only ever looks at the watched names.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fk_overlay.errors import ContractError, SeamError

Then = Callable[[ModuleType], None]


class _ThenLoader(Loader):
    """The module's own loader, followed by what was asked for."""

    def __init__(self, inner: Loader, watched: dict[str, list[Then]]) -> None:
        self._inner = inner
        self._watched = watched

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._inner
        self._inner.exec_module(module)
        for then in self._watched.get(module.__name__, ()):
            then(module)


class Watcher(MetaPathFinder):
    """Watches for imports; installed on ``sys.meta_path`` with the first name."""

    def __init__(self) -> None:
        self._watched: dict[str, list[Then]] = {}

    def after(self, name: str, then: Then) -> None:
        """Call ``then(module)`` when ``name`` has been imported.

        Raises:
            SeamError: ``name`` is being imported by the caller of this very function, too late to be caught.
        """
        if name in sys.modules:
            module = importlib.import_module(name)  # waits for another thread that is still at it
            if getattr(module.__spec__, "_initializing", False):
                raise SeamError(f"{name} is half imported; the overlay must be loaded before or after it, not by it")
            then(module)
            return
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._watched.setdefault(name, []).append(then)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._watched:
            return None
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in behind)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenLoader(spec.loader, self._watched)
        return spec


def reach(module: ModuleType, qualname: str) -> Any:
    """What the module holds under a dotted name. Raises :class:`ContractError` if there is no such thing."""
    held: Any = module
    for name in qualname.split("."):
        try:
            held = getattr(held, name)
        except AttributeError:
            raise ContractError(f"{module.__name__} has no {qualname!r}; run fk-overlay check") from None
    return held
