"""Starting, watching and ending engine processes. Only what was started here is ever signalled."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from fk_overlay import stacks
from fk_overlay.engines.forkserver import Forked, ForkServer
from fk_overlay.engines.interrupts import interruptible
from fk_overlay.errors import LaunchError

PR_SET_PDEATHSIG = 1
STOP_S = 20.0
"""How long an engine may take to end on its own after SIGINT."""
FOLLOW_S = 5.0
"""How long its children may take to follow, before they are killed."""
KILL_S = 10.0
TAIL_LINES, STACKS_LINES = 40, 400
"""Of a log that an error shows, of an engine that ended and of one that hangs, with the stacks of all its threads."""
STACKS_S = 1.0
"""How long processes may take to write where they are."""


def die_with_parent() -> None:
    """Linux ends this process with SIGTERM when the one that started it is gone, so a killed run leaves no server."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class EngineProcess:
    """A process group of ours: an engine's front process and all that it starts."""

    def __init__(self, popen: subprocess.Popen[bytes] | Forked, log: Path, patience_s: float = 5.0) -> None:
        self.log = log
        self.popen = popen
        self.patience_s = patience_s
        self.memory = MemoryWatch(popen.pid)

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        piped: bool = False,
        patience_s: float = 5.0,
    ) -> EngineProcess:
        """Start a command whose output goes to ``log``.

        Args:
            piped: its input and output are pipes, errors go to the log.
            patience_s: how long it may take to end on its own when its input is closed.
        """
        with log.open("ab") as output, interruptible():
            popen = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                start_new_session=True,
            )
        return cls(popen, log, patience_s)

    @classmethod
    def fork(cls, server: ForkServer, main: str, env: Mapping[str, str], log: Path) -> EngineProcess:
        with log.open("ab") as output:
            return cls(server.fork(main, env, output), log)

    def alive(self) -> bool:
        return self.popen.poll() is None

    def pids(self) -> list[int]:
        return [process.pid for process in family(self.popen.pid)]

    def tail(self, count: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-count:])

    def died(self) -> LaunchError:
        code = self.popen.poll()
        return LaunchError(
            f"the engine ended with code {code}: {why(self.log)}; its log is {self.log}", log=self.tail()
        )

    def hung(self, message: str) -> LaunchError:
        """The error of an engine that does not answer. Where its threads are is in its log from now on."""
        self.tell_stacks()
        return LaunchError(f"{message}; its log is {self.log}", state="hung", log=self.tail(STACKS_LINES))

    def tell_stacks(self) -> None:
        """Have its processes write to the log where their threads are."""
        if stacks.ask(self.pids()):
            time.sleep(STACKS_S)

    def stop(self) -> None:
        """End the group: politely, then by force. Returns when no member is left."""
        self.memory.stop()
        members = {process.pid: process for process in family(self.popen.pid)}
        if self.popen.stdin:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()
        if self.alive() and not _ended(self.popen, 0.0 if self.popen.stdin is None else self.patience_s):
            self.popen.send_signal(signal.SIGINT)
            _ended(self.popen, STOP_S)
        members.update((process.pid, process) for process in _group(self.popen.pid))
        for process in _left(members.values(), FOLLOW_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _left(members.values(), KILL_S)
        self.popen.wait(timeout=KILL_S)


def family(pid: int) -> list[psutil.Process]:
    """The process and its descendants that are alive."""
    try:
        front = psutil.Process(pid)
        return [front, *front.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _group(leader: int) -> list[psutil.Process]:
    """Members of the leader's process group, also those whose parent is gone."""
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == leader:
                members.append(process)
    return members


def _left(members: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """The members that still run after at most ``seconds``. An orphan that nobody reaps (PID 1 of a container may not)
    stays a zombie for ever and is not waited for."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in members if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ended(popen: subprocess.Popen[bytes] | Forked, seconds: float) -> bool:
    try:
        popen.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


OWN_MARK = "fk-overlay: "
ERROR_MARKS = ("Error: ", "Error(", "Exception: ", "Killed", "Segmentation fault")
REASON_LENGTH = 400


def why(log: Path) -> str:
    """The line of a log that most likely says what went wrong: the overlay's own word, else the last error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        if OWN_MARK in line:
            return line[line.index(OWN_MARK) :][:REASON_LENGTH].strip()
    for line in reversed(lines):
        if any(mark in line for mark in ERROR_MARKS):
            return line.strip()[-REASON_LENGTH:]
    return "no error in its log"


class MemoryWatch:
    """Peak resident memory of a process family in bytes, sampled twice a second from outside."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._done = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="fk-overlay-memory").start()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            resident = 0
            for process in family(self._pid):
                with contextlib.suppress(psutil.Error):
                    resident += process.memory_info().rss
            self.peak = max(self.peak, resident)

    def stop(self) -> None:
        self._done.set()


def wait_until(ready: threading.Event, process: EngineProcess, timeout_s: float) -> None:
    """Raises :class:`LaunchError` when the process dies or the time is up before ``ready`` is set."""
    deadline = time.monotonic() + timeout_s
    while not ready.wait(0.1):
        if not process.alive():
            raise process.died()
        if time.monotonic() > deadline:
            raise process.hung(f"the engine did not answer within {timeout_s:.0f} s")
