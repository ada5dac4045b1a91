"""TCP ports of this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

import psutil

LOCAL = "127.0.0.1"


def free_port() -> int:
    """A port that nothing listens on right now. Another process may take it before the server does; start it soon."""
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether something accepts connections on ``port``."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOCAL, port)) == 0


def held_by(port: int, pids: Iterable[int]) -> bool:
    """Whether one of these processes listens on ``port``."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in psutil.Process(pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False
