"""The process behind :class:`fk_overlay.engines.offline.session.OfflineSession`: builds the engine, runs what it is
told, answers by line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol

from fk_overlay.core import Request
from fk_overlay.engines.processes import die_with_parent
from fk_overlay.stacks import listen


class Driver(Protocol):
    """An engine in this process."""

    def kv_blocks(self) -> int | None: ...

    def prepare(self, requests: Sequence[Request], concurrency: int) -> Callable[[], Sequence[Any]]:
        """Everything that is not to be timed. Calling what it returns runs the requests, at most ``concurrency`` at
        once, and gives the engine's final output for each, in order."""

    def output(self, request: Request, final: Any) -> dict[str, Any]:
        """``tokens`` of a final output and, if asked for, ``logprobs``, ``ranks``, ``top1`` and ``margins``."""

    def stop(self) -> None: ...


def drive(build: Callable[[dict[str, Any]], Driver]) -> None:
    """Hold the conversation on standard input and output until the other side closes it."""
    die_with_parent()
    listen()
    answers = _own_stdout()
    orders = (json.loads(line) for line in sys.stdin)
    driver = build(next(orders)["arguments"])
    _answer(answers, kv_blocks=driver.kv_blocks())
    for order in orders:
        requests = [Request.revived(fields) for fields in order["requests"]]
        run = driver.prepare(requests, order["concurrency"])
        _answer(answers, loaded=len(requests))
        next(orders)
        finals = run()
        _answer(answers, done=True)
        outputs = [
            {"index": request.index, **driver.output(request, final)}
            for request, final in zip(requests, finals, strict=True)
        ]
        _answer(answers, outputs=outputs)
    driver.stop()


def _own_stdout() -> IO[str]:
    """The pipe for answers; what the engine prints goes to the log instead."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _answer(answers: IO[str], **message: Any) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
