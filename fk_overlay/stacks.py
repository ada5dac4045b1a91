"""Where the threads of a process are that does not answer any more: which kernel it hangs in, or what it waits for."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
from collections.abc import Iterable
from pathlib import Path

SIGNAL = signal.SIGUSR2
STDERR = 2


def listen() -> None:
    """Answer :data:`SIGNAL` with the stacks of all threads on standard error, which is an engine's log. They are
    written although the interpreter may be held by a kernel."""
    faulthandler.register(SIGNAL, file=STDERR, all_threads=True)


def ask(pids: Iterable[int]) -> int:
    """Ask the processes that listen, and return how many do. The signal would end the others."""
    listening = [pid for pid in pids if _listens(pid)]
    for pid in listening:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGNAL)
    return len(listening)


def _listens(pid: int) -> bool:
    """By the mask of caught signals that Linux tells; where there is none, nobody listens."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (SIGNAL - 1) & 1)
