"""Children that can be interrupted, whoever started us."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """What is started in here takes SIGINT as a process does by default.

    A shell starts background jobs of a script with SIGINT ignored, and their children would ignore it too: an engine
    that is asked to stop would not listen and would be killed, with what it has not written yet.
    """
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: None)  # a handler is reset in a new program, SIG_IGN is not
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
