"""Starts Python engine processes by forking one that has imported the engine already.

Importing an engine takes as long as starting it. The parent process here imports once, builds nothing and touches no
GPU; each launch is a fork of it, as fresh as a new process in everything that a kernel could leave behind. Exit codes
come back over the connection that asked for the fork.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fk_overlay.engines.interrupts import interruptible
from fk_overlay.errors import LaunchError

READY = b"ready"
FDS = 3
MESSAGE = 1 << 20


class ForkServer:
    """The parent of forks, seen from the orchestrating process.

    Args:
        modules: what to import before any fork.
        env: environment while importing; a fork's own environment is given with it.
        log: file for what the imports print.
    """

    def __init__(self, modules: Sequence[str], env: Mapping[str, str], log: Path, timeout_s: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), *modules]
        with log.open("ab") as output, theirs, interruptible():
            self._popen = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours
        self._socket.settimeout(timeout_s)
        try:
            ready = self._socket.recv(MESSAGE)
        except TimeoutError:
            ready = b""
        if ready != READY:
            self.stop()
            raise LaunchError(
                f"importing {', '.join(modules)} failed; see {log}", log=log.read_text(errors="replace")[-4000:]
            )

    def alive(self) -> bool:
        return self._popen.poll() is None

    def fork(self, main: str, env: Mapping[str, str], errors: IO[bytes]) -> Forked:
        """A fork that runs ``main`` (``module:function``) with pipes for input and output and ``errors`` for the
        rest. Raises :class:`LaunchError` if the server is gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        order = json.dumps({"main": main, "env": dict(env), "cwd": str(Path.cwd())}).encode()
        stdin, stdout = os.fdopen(in_write, "wb", buffering=0), os.fdopen(out_read, "rb")
        try:
            with theirs:
                socket.send_fds(self._socket, [order], [theirs.fileno(), in_read, out_write, errors.fileno()])
            ours.settimeout(60.0)
            pid = int(ours.recv(MESSAGE))
        except (OSError, ValueError) as error:
            for held in (ours, stdin, stdout):
                held.close()
            raise LaunchError("the process to fork from is gone; see imports.log of this run, then --resume") from error
        finally:
            os.close(in_read)
            os.close(out_write)
        return Forked(pid, ours, stdin, stdout)

    def stop(self) -> None:
        self._socket.close()
        self._popen.kill()
        self._popen.wait()


class Forked:
    """A forked process, with the part of ``subprocess.Popen`` that engine sessions use."""

    def __init__(self, pid: int, connection: socket.socket, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self, seconds: float | None) -> int | None:
        """The exit code as the server reports it; a server that is gone has taken its forks with it."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if selector.select(seconds):
                    self.returncode = _code(self._connection)
        return self.returncode


def _code(connection: socket.socket) -> int:
    try:
        return int(connection.recv(MESSAGE) or -signal.SIGKILL)
    except ConnectionResetError:
        return -signal.SIGKILL


# ------------------------------------------------------------------------------------------------ inside the server


def serve(orders: socket.socket, modules: Sequence[str]) -> None:
    """Import, then fork on demand until the orchestrating process is gone. One thread only: forks of threads break."""
    for module in modules:
        importlib.import_module(module)
    sys.stdout.flush()  # what the imports left in the buffer would come out of every fork
    orders.send(READY)
    children: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is orders:
                    message, fds, _, _ = socket.recv_fds(orders, MESSAGE, FDS + 1)
                    if not message:
                        return
                    connection = socket.socket(fileno=fds[0])
                    held = [selector, orders, connection, *(other for _, other in children.values())]
                    pid = _fork(json.loads(message), fds[1:], held, list(children))
                    connection.send(str(pid).encode())
                    handle = os.pidfd_open(pid)
                    children[handle] = (pid, connection)
                    selector.register(handle, selectors.EVENT_READ)
                else:
                    _report(key.fd, children)
                    selector.unregister(key.fd)
                    os.close(key.fd)


def _report(handle: int, children: dict[int, tuple[int, socket.socket]]) -> None:
    pid, connection = children.pop(handle)
    _, status = os.waitpid(pid, 0)
    with connection:
        try:
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        except (BrokenPipeError, ConnectionResetError):
            return


def _fork(order: Mapping[str, Any], fds: Sequence[int], held: Sequence[Any], handles: Sequence[int]) -> int:
    """Fork. What the server holds open, objects and the handles of other forks, is closed in the child."""
    from fk_overlay.engines.processes import die_with_parent

    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return pid
    code = 1
    try:
        die_with_parent()
        os.setsid()
        for each in held:
            each.close()
        for handle in handles:
            os.close(handle)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.clear()
        os.environ.update(order["env"])
        sys.path[:0] = [
            path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path
        ]
        os.chdir(order["cwd"])
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        module, _, function = order["main"].partition(":")
        getattr(importlib.import_module(module), function)()
        code = 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        if isinstance(leave.code, str):
            print(leave.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


if __name__ == "__main__":
    from fk_overlay.engines.processes import die_with_parent

    die_with_parent()
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
