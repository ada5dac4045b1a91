"""A last look at a process before its engine is stopped: what became of the engine's own symbols under load.

A patch can wait with what it should not do until the engine has started, so looking once is not enough. The launcher
asks by making a file in the receipts folder; a thread of each process waits for it, which costs one ``stat`` twice a
second, looks, and puts what it saw into the receipt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from fk_overlay.overlay.receipts import processes

ASKED = "last-look"
PERIOD_S = 0.5


def answer_when_asked(folder: Path, look: Callable[[], None]) -> None:
    """Call ``look`` once, in a thread, as soon as the launcher asks."""
    threading.Thread(target=_wait, args=(folder / ASKED, look), daemon=True, name="fk-overlay-last-look").start()


def ask(folder: Path, timeout_s: float = 20.0) -> None:
    """Ask every process whose receipt offers a last look, and wait until each has taken it or the time is up."""
    (folder / ASKED).touch()
    deadline = time.monotonic() + timeout_s
    while any(said.get("last_look") == "offered" for said in processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _wait(path: Path, look: Callable[[], None]) -> None:
    tick = threading.Event()
    while not tick.wait(PERIOD_S):
        if path.exists():
            look()
            return
