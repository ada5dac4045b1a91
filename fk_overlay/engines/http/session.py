"""An engine's own HTTP server in processes of its own, talked to by a client in yet another process."""

from __future__ import annotations

import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import Facts, PassResult
from fk_overlay.engines.http.load import Wire, run_client
from fk_overlay.engines.http.ports import held_by, listening
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.errors import LaunchError

TAKEN_S = 30.0
"""After so long a port that another process listens on is taken for good. An engine that finds it so may go on for
minutes: SGLang ends once it has given up warming itself up."""


class HttpSession(ABC):
    """A running server; see :class:`fk_overlay.engines.base.Session`. An engine says what its requests look like and
    where it tells the size of its cache.

    Args:
        process: was just started; nothing is known of it until :meth:`wait_ready` returns.
        url: where it will answer, as ``http://host:port``.
        ranks: how many of its processes hold a part of the model.
    """

    wire: Wire

    def __init__(self, process: EngineProcess, url: str, ranks: int) -> None:
        self.process = process
        self.url = url
        self._ranks = ranks

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """The request as the server wants it."""

    @abstractmethod
    def kv_blocks(self) -> int | None:
        """How many blocks (or tokens, where the engine counts those) its KV cache holds."""

    @property
    def pids(self) -> Sequence[int]:
        return self.process.pids()

    @property
    def peak_bytes(self) -> int:
        return self.process.memory.peak

    def wait_ready(self, timeout_s: float) -> None:
        """Raises :class:`LaunchError` for an engine that ended, does not answer in time, or found its port taken."""
        port = urlsplit(self.url).port or 0
        now = last_free = time.monotonic()
        deadline = now + timeout_s
        while not self._healthy():
            if not self.process.alive():
                raise self.process.died()
            now = time.monotonic()
            if now > deadline:
                raise self.process.hung(f"the engine did not answer on {self.url} within {timeout_s:.0f} s")
            if not listening(port) or held_by(port, self.pids):
                last_free = now
            elif now > last_free + TAKEN_S:
                break
            time.sleep(0.2)
        if not held_by(port, self.pids):
            message = f"what listens on {self.url} is another process; the engine found its port taken"
            raise LaunchError(message, state="refused", log=self.process.tail())

    def facts(self) -> Facts:
        return Facts(kv_blocks=self.kv_blocks(), ranks=self._ranks)

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        bodies = [self.body(request) for request in requests]
        began = time.monotonic()
        result = run_client(
            self.url, self.wire, bodies, arrivals=arrivals, concurrency=workload.concurrency, timeout_s=timeout_s
        )
        if not self.process.alive():
            raise self.process.died()
        if time.monotonic() - began > timeout_s:
            self.process.tell_stacks()
        return result

    def stop(self) -> None:
        self.process.stop()

    def fetch(self, path: str) -> str:
        """What the server answers to a GET of ``path``."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            text: str = answer.read().decode()
        return text

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, HTTPException):  # a listener may be no HTTP server at all
            return False
