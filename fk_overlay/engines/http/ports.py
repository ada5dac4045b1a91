"""TCP ports of this machine."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

LOCAL = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 60_000
ABOVE = 1_100
"""SGLang takes more ports for itself, up to so far above the server's."""
HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_draw = random.SystemRandom()


def free_port() -> int:
    """A port that nothing listens on right now. Another process may take it before the server does; start it soon.

    Not one that the system hands out to whoever asks for any: engines ask for many while they start, and a rendezvous
    that was given the server's port holds it for good.
    """
    highest = int(HANDED_OUT.read_text().split()[0]) if HANDED_OUT.is_file() else HIGHEST
    if highest - ABOVE <= LOWEST:  # all are handed out
        highest = HIGHEST
    while True:
        port = _draw.randrange(LOWEST, highest - ABOVE)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOCAL, port))
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
