"""Compiling ahead, in several processes at once: one configuration after the other it would take most of a search. What
they compile is found again in Triton's cache on disk, and nothing is timed while they are at it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from fk_overlay.engines.processes import die_with_parent
from fk_overlay.tuning.config import Config

Compile = Callable[[int, Config], None]
"""``compile(tokens, config)`` has the kernels compiled for a call with so many tokens; it may fail."""
GRACE_S = 60.0
"""How long a compilation that was begun in time is waited for."""


class Ahead:
    """Processes that compile. They are made when they are first needed.

    Args:
        make: called once in every process, gives what compiles there; has to be picklable.
        workers: how many; with none, everything is left to the search itself.
    """

    def __init__(self, make: Callable[[], Compile], workers: int) -> None:
        context = get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, context, _begin, (make,)) if workers > 0 else None

    def __call__(self, tokens: int, configs: Sequence[Config], timeout_s: float) -> int:
        """Compile for so many tokens, begin none after ``timeout_s`` seconds. Returns how many were compiled.

        One that fails is left to the search, which is told why. When a process dies, so is everything after it.
        """
        if self._pool is None:
            return 0
        try:
            begun = [self._pool.submit(_compile, tokens, config) for config in configs]
        except BrokenExecutor:
            self.stop()
            return 0
        late = [each for each in wait(begun, timeout_s).not_done if not each.cancel()]
        wait(late, GRACE_S)
        return sum(map(_compiled, begun))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None


def _compiled(each: Future[None]) -> bool:
    return each.done() and not each.cancelled() and each.exception() is None


_here: list[Compile] = []
"""What compiles in this process."""


def _begin(make: Callable[[], Compile]) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the process that searches
    _here.append(make())


def _compile(tokens: int, config: Config) -> None:
    _here[0](tokens, config)
