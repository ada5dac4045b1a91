"""The load client: ``python -m fk_overlay.engines.http.client``, one JSON job in, one JSON result out.

It runs in a process of its own so that neither the engine nor the judge can slow down its clock. An event costs it 40
to 50 microseconds of one EPYC Zen 2 core: 256 streams of one token an event fill that core at 20,000 tokens a second.

Job: ``url``, ``reader`` (``module:class`` of the :class:`Stream` that understands the answers), ``bodies`` (a JSON
body per request), ``arrivals`` (seconds from the start; null: closed loop), ``concurrency`` (closed loop only),
``timeout_s`` (of the whole job).
Result: ``traces`` (the fields of :class:`fk_overlay.engines.base.Trace`, one per body), and ``cpu_s`` and ``wall_s``,
what the client itself needed.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from fk_overlay.engines.http.stream import Stream, StreamError

KEEP_ALIVE_S = 3.0
"""Idle connections are closed before the server does it (uvicorn: 5 s): a POST on a connection that the server is just
closing fails and may not be repeated."""
FAULTS = (aiohttp.ClientError, OSError, StreamError)
"""What can go wrong with one request without being the client's fault."""


@dataclass(frozen=True, slots=True)
class Job:
    url: str
    reader: str
    bodies: list[dict[str, Any]]
    arrivals: list[float] | None
    concurrency: int
    timeout_s: float


class Pass:
    """One run of the load. Times are seconds since the start."""

    def __init__(self, job: Job, session: aiohttp.ClientSession) -> None:
        self._job = job
        self._session = session
        self._payloads = [json.dumps(body).encode() for body in job.bodies]
        self._start = time.perf_counter()
        reader = _reader(job.reader)
        self._streams = [reader(body, self._now) for body in job.bodies]
        self._sent: list[float | None] = [None] * len(job.bodies)
        self._errors: list[str | None] = [f"not sent within the deadline of {job.timeout_s:g} s"] * len(job.bodies)

    async def run(self) -> list[dict[str, Any]]:
        """The traces, one per body, whatever happened."""
        self._start = time.perf_counter()
        try:
            async with asyncio.timeout(self._job.timeout_s), asyncio.TaskGroup() as group:
                if self._job.arrivals is None:
                    order = iter(range(len(self._payloads)))
                    for _ in range(min(self._job.concurrency, len(self._payloads))):
                        group.create_task(self._worker(order))
                else:
                    for index, arrival in enumerate(self._job.arrivals):
                        group.create_task(self._send_at(index, arrival))
        except TimeoutError:
            pass  # each unfinished request says so in its own error
        return [self._trace(index) for index in range(len(self._payloads))]

    def _now(self) -> float:
        return time.perf_counter() - self._start

    async def _worker(self, order: Iterator[int]) -> None:
        for index in order:
            await self._send(index)

    async def _send_at(self, index: int, arrival: float) -> None:
        await asyncio.sleep(arrival - self._now())
        await self._send(index)

    async def _send(self, index: int) -> None:
        stream = self._streams[index]
        self._errors[index] = f"not finished within the deadline of {self._job.timeout_s:g} s"
        self._sent[index] = self._now()
        try:
            async with self._session.post(self._job.url, data=self._payloads[index]) as answer:
                if answer.status != 200:
                    raise StreamError(f"HTTP {answer.status}: {(await answer.text())[:500]}")
                async for data in answer.content.iter_any():
                    stream.feed(data)
            stream.finish()
            self._errors[index] = None
        except FAULTS as error:
            self._errors[index] = f"{type(error).__name__}: {error}"

    def _trace(self, index: int) -> dict[str, Any]:
        stream, sent = self._streams[index], self._sent[index]
        return {
            "index": index,
            "sent": self._now() if sent is None else sent,
            "arrivals": stream.arrivals,
            "tokens": stream.tokens,
            "logprobs": stream.logprobs,
            "ranks": stream.ranks,
            "top1": stream.top1,
            "margins": stream.margins,
            "error": self._errors[index],
        }


def _reader(path: str) -> Callable[[Mapping[str, Any], Callable[[], float]], Stream]:
    module, _, name = path.partition(":")
    reader: type[Stream] = getattr(importlib.import_module(module), name)
    return reader


async def run(job: Job) -> dict[str, Any]:
    """Do the job. Connections are kept alive and never limited: the loop alone decides what is in flight."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"Content-Type": "application/json"},
    ) as session:
        load = Pass(job, session)
        gc.collect()
        gc.disable()  # a collection would stop the clock of every stream at once; the process ends with the pass
        cpu, wall = time.process_time(), time.perf_counter()
        traces = await load.run()
        return {"traces": traces, "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


def main() -> None:
    result_fd = os.dup(1)
    os.dup2(2, 1)  # whatever prints from here on cannot damage the result
    job: Mapping[str, Any] = json.load(sys.stdin)
    result = asyncio.run(run(Job(**job)))
    with os.fdopen(result_fd, "w", encoding="utf-8") as out:
        json.dump(result, out)


if __name__ == "__main__":
    main()
