"""The outside of an engine that is driven through its Python interface, in a process of its own.

The conversation is one JSON object a line: requests go in, ``done`` comes back the moment the last token exists, then
the tokens. The clock is the caller's; the engine process cannot touch it.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import Facts, PassResult, Trace
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.errors import EngineError


class OfflineSession:
    """An engine behind :func:`fk_overlay.engines.offline.driver.drive`.

    Args:
        process: runs ``drive``, with pipes for its standard input and output.
        arguments: the engine's own, handed over as they are.
        ranks: how many of its processes hold a part of the model.
    """

    def __init__(self, process: EngineProcess, arguments: Mapping[str, Any], ranks: int) -> None:
        self.process = process
        self._ranks = ranks
        self._lines: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True, name="fk-overlay-offline").start()
        self._say({"arguments": dict(arguments)})
        self._kv_blocks: int | None = None

    @property
    def pids(self) -> Sequence[int]:
        return self.process.pids()

    @property
    def peak_bytes(self) -> int:
        return self.process.memory.peak

    def wait_ready(self, timeout_s: float) -> None:
        _, answer = self._hear(timeout_s)
        self._kv_blocks = answer["kv_blocks"]

    def facts(self) -> Facts:
        return Facts(kv_blocks=self._kv_blocks, ranks=self._ranks)

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        """As :meth:`fk_overlay.engines.base.Session.run`; an open loop needs a server and is refused here."""
        if arrivals is not None:
            raise EngineError("an open loop needs `driver: server` in the scenario; the offline driver has no arrivals")
        self._say({"requests": [asdict(request) for request in requests], "concurrency": workload.concurrency})
        self._hear(timeout_s)
        started = time.monotonic()
        self._say({"go": True})
        finished, _ = self._hear(timeout_s)
        wall_s = finished - started
        _, answer = self._hear(timeout_s)
        traces = tuple(_trace(item, wall_s) for item in answer["outputs"])
        return PassResult(traces, wall_s)

    def stop(self) -> None:
        self.process.stop()

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.popen.stdin is not None
        try:
            self.process.popen.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.popen.stdin.flush()
        except BrokenPipeError:
            raise self.process.died() from None

    def _listen(self) -> None:
        assert self.process.popen.stdout is not None
        for line in self.process.popen.stdout:
            self._lines.put((time.monotonic(), line))

    def _hear(self, timeout_s: float) -> tuple[float, dict[str, Any]]:
        """The next line and when it came. Raises :class:`LaunchError` when the process died or stays silent."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                moment, line = self._lines.get(timeout=0.2)
                return moment, json.loads(line)
            except queue.Empty:
                if not self.process.alive() and self._lines.empty():
                    raise self.process.died() from None
                if time.monotonic() > deadline:
                    raise self.process.hung(f"the engine did not finish within {timeout_s:.0f} s") from None


def _trace(output: dict[str, Any], wall_s: float) -> Trace:
    tokens = tuple(output["tokens"])
    return Trace(
        index=output["index"],
        sent=0.0,
        arrivals=(wall_s,) * len(tokens),
        tokens=tokens,
        logprobs=tuple(output.get("logprobs", ())),
        ranks=tuple(output.get("ranks", ())),
        top1=tuple(output.get("top1", ())),
        margins=tuple(output.get("margins", ())),
    )
