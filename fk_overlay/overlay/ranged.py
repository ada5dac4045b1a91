"""Puts profiler ranges around targets, through the seams that patches use: around the patch where there is one, else
around the engine's own function."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from fk_overlay.contract.check import verify
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.imports import Watcher, reach
from fk_overlay.overlay.loader import load
from fk_overlay.overlay.seams import function, method
from fk_overlay.overlay.tally import Tally
from fk_overlay.plan import Profiling, Swap, Watch
from fk_overlay.profiling.recorder import Profiler

UNCOUNTED = Tally(None, 0)


class Ranged:
    """The ranges of this process.

    Args:
        swaps: the patches of this process. They are in place before the ranges.
    """

    def __init__(self, host: Host, order: Profiling, swaps: Collection[Swap]) -> None:
        self.profiler = Profiler(order)
        self._order = order
        self._host = host
        self._root = host.source_root()
        self._models = {swap.target.path: swap for swap in swaps if swap.seam == "model"}

    def arrange(self, watcher: Watcher, or_die: Callable[[], AbstractContextManager[None]]) -> None:
        """Put each range in place as soon as the engine has imported the target; its contract is checked first."""
        if self._order.tool == "kernels":
            return
        for watch in self._order.watches:
            if swap := self._models.get(watch.target.path):
                self._around_method(load(swap), "forward", watch.task)
                continue
            verify(watch.expected, self._root, strict_body=True)

            def place(module: ModuleType, watch: Watch = watch) -> None:
                with or_die():
                    self._place(module, watch)

            watcher.after(watch.target.module, place)

    def _place(self, module: ModuleType, watch: Watch) -> None:
        name, path = watch.target.qualname, watch.target.path
        if watch.target.seam == "ir":
            self._host.watch_ir(path, lambda live: self.profiler.ranged(watch.task, live))
            return
        if watch.target.seam == "function":
            function.swap(module, name, self.profiler.ranged(watch.task, vars(module)[name]), UNCOUNTED)
            return
        for place in watch.places:
            self._around_method(reach(module, name), place.rpartition(".")[2], watch.task)

    def _around_method(self, owner: Any, member: str, task: str) -> None:
        held = vars(owner)[member]
        ranged = self.profiler.ranged(task, method.original(owner, member))
        setattr(owner, member, staticmethod(ranged) if isinstance(held, staticmethod) else ranged)
