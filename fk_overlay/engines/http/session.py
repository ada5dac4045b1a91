"""An engine's own HTTP server in processes of its own, talked to by a client in yet another process."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import Facts, PassResult
from fk_overlay.engines.http.load import Wire, run_client
from fk_overlay.engines.http.ports import held_by
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.errors import LaunchError


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
        deadline = time.monotonic() + timeout_s
        while not self._healthy():
            if not self.process.alive():
                raise self.process.died()
            if time.monotonic() > deadline:
                message = (
                    f"the engine did not answer on {self.url} within {timeout_s:.0f} s; its log is {self.process.log}"
                )
                raise LaunchError(message, state="hung", log=self.process.tail())
            time.sleep(0.2)
        if not held_by(urlsplit(self.url).port or 0, self.pids):
            message = f"what answers on {self.url} is another process; the engine found its port taken"
            raise LaunchError(message, state="refused", log=self.process.tail())

    def facts(self) -> Facts:
        return Facts(kv_blocks=self.kv_blocks(), ranks=self._ranks)

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        bodies = [self.body(request) for request in requests]
        result = run_client(
            self.url, self.wire, bodies, arrivals=arrivals, concurrency=workload.concurrency, timeout_s=timeout_s
        )
        if not self.process.alive():
            raise self.process.died()
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
        except (urllib.error.URLError, OSError):
            return False
