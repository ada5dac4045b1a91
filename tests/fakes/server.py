"""A fake engine server: streams ``/v1/completions`` the way vLLM does, and fails on request.

Each request says in its body, under ``fake``, how it wants to be served (the fields of :class:`Manner`). Run as a
program it prints its URL and serves until killed; :func:`serving` runs it in a thread.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

VOCABULARY = 1000


@dataclass(frozen=True)
class Manner:
    """How one request is served.

    Attributes:
        first_s, token_s: delay before the first event and between events.
        chunk: tokens in one event.
        cut: bytes in one write; 0: an event a write.
        fault: ``http`` (status 500), ``event`` (an error event midway), ``disconnect`` (midway), ``stall`` (midway),
            ``short`` (one token too few), ``miscount`` (usage disagrees), ``no_ids``, ``not_json``, ``no_done``.
    """

    first_s: float = 0.0
    token_s: float = 0.0
    chunk: int = 1
    cut: int = 0
    fault: str = ""


def tokens_of(body: dict[str, Any]) -> list[int]:
    """What the fake emits: the forced tokens, else a sequence that follows from the prompt."""
    forced = (body.get("vllm_xargs") or {}).get("fk_forced")
    count = body["max_tokens"]
    return list(forced) if forced else [(sum(body["prompt"]) + step) % VOCABULARY for step in range(count)]


async def complete(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    manner = Manner(**body.get("fake", {}))
    if manner.fault == "http":
        return web.json_response({"error": "out of order"}, status=500)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    tokens = tokens_of(body)[: -1 if manner.fault == "short" else None]
    await asyncio.sleep(manner.first_s)
    for start in range(0, len(tokens), manner.chunk):
        if start:
            await asyncio.sleep(manner.token_s)
        if manner.fault in FAULTS and start >= len(tokens) // 2:
            await FAULTS[manner.fault](request, answer)
            return answer
        await _write(answer, _event(body, tokens[start : start + manner.chunk], manner), manner.cut)
    count = len(tokens) + (manner.fault == "miscount")
    await _write(answer, _line({"choices": [], "usage": {"completion_tokens": count}}), manner.cut)
    if manner.fault != "no_done":
        await _write(answer, b"data: [DONE]\n\n", manner.cut)
    return answer


def _event(body: dict[str, Any], tokens: list[int], manner: Manner) -> bytes:
    choice: dict[str, Any] = {"index": 0, "text": "", "token_ids": tokens}
    if manner.fault == "no_ids":
        del choice["token_ids"]
    if top := body.get("logprobs"):
        choice["logprobs"] = {
            "token_logprobs": [-0.5] * len(tokens),
            "top_logprobs": [_entries(token, top) for token in tokens],
        }
    return _line({"id": "fake", "choices": [choice]})


def _entries(token: int, top: int) -> dict[str, float]:
    """The emitted token is the highest, the next ids follow 0.25 nats apart."""
    return {f"token_id:{token + rank}": -0.5 - 0.25 * rank for rank in range(top)}


def _line(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


async def _write(answer: web.StreamResponse, data: bytes, cut: int) -> None:
    for start in range(0, len(data), cut or len(data)):
        await answer.write(data[start : start + (cut or len(data))])
        if cut:
            await asyncio.sleep(0)


async def _disconnect(request: web.Request, answer: web.StreamResponse) -> None:
    assert request.transport is not None
    request.transport.abort()


async def _stall(request: web.Request, answer: web.StreamResponse) -> None:
    await asyncio.sleep(3600)


async def _error_event(request: web.Request, answer: web.StreamResponse) -> None:
    await answer.write(_line({"error": {"message": "the engine died"}}) + b"data: [DONE]\n\n")


async def _not_json(request: web.Request, answer: web.StreamResponse) -> None:
    await answer.write(b"data: {half\n\n")


FAULTS = {"disconnect": _disconnect, "stall": _stall, "event": _error_event, "not_json": _not_json}


def application() -> web.Application:
    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/v1/completions", complete)
    return app


async def _start(port: int = 0) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@contextmanager
def serving() -> Iterator[str]:
    """The URL of a server that runs in a thread of this process until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, url = asyncio.run_coroutine_threadsafe(_start(), loop).result(timeout=10)
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _forever() -> None:
    _, url = await _start()
    print(url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_forever())
