"""Runs a function right after a module was imported, at once if it already is.

Targets are swapped when the engine itself imports them: nothing is imported that the process does not need, and no
import order changes. The finder sits first on ``sys.meta_path`` and only ever looks at the watched names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

Then = Callable[[ModuleType], None]


class _ThenLoader(Loader):
    """The module's own loader, followed by what was asked for."""

    def __init__(self, inner: Loader, then: Sequence[Then]) -> None:
        self._inner = inner
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._inner
        self._inner.exec_module(module)
        for then in self._then:
            then(module)


class Watcher(MetaPathFinder):
    """Watches for imports. One per process, installed with the first name."""

    def __init__(self) -> None:
        self._watched: dict[str, list[Then]] = {}

    def after(self, name: str, then: Then) -> None:
        if name in sys.modules:
            then(sys.modules[name])
            return
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._watched.setdefault(name, []).append(then)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        then = self._watched.pop(fullname, None)
        if then is None:
            return None
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenLoader(spec.loader, then)
        return spec
