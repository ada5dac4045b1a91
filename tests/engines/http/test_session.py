from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fk_overlay.core import Request
from fk_overlay.engines.http import session
from fk_overlay.engines.http.ports import LOCAL, free_port
from fk_overlay.engines.http.session import HttpSession
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.errors import LaunchError

SLEEPS = "import time; time.sleep(60)"
SERVES = """
import http.server, sys, time
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
time.sleep(float(sys.argv[2]))
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server).serve_forever()
"""


class Session(HttpSession):
    def body(self, request: Request) -> dict[str, Any]:
        return {}

    def kv_blocks(self) -> int | None:
        return None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    started: list[EngineProcess] = []

    def begin(script: str, port: int, *more: str) -> Session:
        command = [sys.executable, "-c", script, str(port), *more]
        started.append(EngineProcess.start(command, dict(os.environ), tmp_path / "engine.log"))
        return Session(started[-1], f"http://{LOCAL}:{port}", 1)

    yield begin
    for process in started:
        process.stop()


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a listener that speaks, and not HTTP."""
    with socket.create_server((LOCAL, 0)) as server:

        def speak() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"\x00\x01 no status line\r\n")

        threading.Thread(target=speak, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_server_that_begins_late_is_waited_for(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TAKEN_S", 0.1)
    start(SERVES, free_port(), "1.0").wait_ready(30)


def test_a_port_that_a_stranger_holds_is_found_out_long_before_the_limit(
    start: Any, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TAKEN_S", 0.5)
    began = time.monotonic()
    with pytest.raises(LaunchError, match="the engine found its port taken") as raised:
        start(SLEEPS, stranger).wait_ready(300)
    assert raised.value.state == "refused"
    assert time.monotonic() - began < 60


def test_for_a_while_the_port_may_be_anothers(start: Any, stranger: int) -> None:
    with pytest.raises(LaunchError, match="did not answer") as raised:
        start(SLEEPS, stranger).wait_ready(1.0)
    assert raised.value.state == "hung"
