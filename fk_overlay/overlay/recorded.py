"""Puts a recorder in the place of targets, through the seams that patches use. The original runs behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from fk_overlay.capture.engine_facts import facts
from fk_overlay.capture.recipes import remember_constructor
from fk_overlay.capture.recorder import Recorder
from fk_overlay.contract.check import verify
from fk_overlay.contract.definition import Definition
from fk_overlay.contract.live import verify_live
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.imports import Watcher, reach
from fk_overlay.overlay.seams import function, method
from fk_overlay.overlay.tally import Function, Tally
from fk_overlay.plan import Recording, Watch

UNCOUNTED = Tally(None, 0)


class Recorded:
    """The watches of this process."""

    def __init__(self, host: Host, order: Recording) -> None:
        self.recorder = Recorder(order)
        self._order = order
        self._host = host
        self._root = host.source_root()
        self._surroundings = facts(host.engine).surroundings

    def arrange(self, watcher: Watcher, or_die: Callable[[], AbstractContextManager[None]]) -> None:
        """Record each target as soon as the engine imports it; its contract is checked first."""
        for watch in self._order.watches:
            definitions = verify(watch.expected, self._root, strict_body=True)

            def place(module: ModuleType, watch: Watch = watch, found: dict[str, Definition] = definitions) -> None:
                with or_die():
                    self._place(module, watch, found)

            watcher.after(watch.target.module, place)

    def _place(self, module: ModuleType, watch: Watch, definitions: dict[str, Definition]) -> None:
        if watch.target.seam == "ir":
            path = watch.target.path
            self._host.watch_ir(path, lambda live: self.recorder.recording(watch, path, live, None, method=False))
            return
        live = reach(module, watch.target.qualname)
        if watch.target.seam == "function":
            verify_live(watch.target.path, live, definitions[watch.target.path])
            kernel = self.recorder.recording(watch, watch.target.path, live, None, method=False)
            function.swap(module, watch.target.qualname, kernel, UNCOUNTED)
            return
        for place, contract in zip(watch.places, watch.target.places, strict=True):
            member = place.rpartition(".")[2]
            known = method.original(live, member)
            verify_live(contract, live if watch.target.seam == "model" else known, definitions[contract])
            bound = _with_instance(known) if isinstance(vars(live)[member], staticmethod) else known
            kernel = self.recorder.recording(watch, place, bound, self._surroundings, method=True)
            method.swap(live, member, type("Recorded", (), {member: kernel}), UNCOUNTED)
        remember_constructor(live)


def _with_instance(function: Function) -> Function:
    """A static method as one that is given the instance too, which it drops."""

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.signature(function)
    called.__signature__ = signature.replace(parameters=[me, *signature.parameters.values()])  # type: ignore[attr-defined]
    return called
