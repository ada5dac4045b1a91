import os
import socket
import subprocess
import sys

from fk_overlay.engines.http.ports import LOCAL, free_port, held_by, listening


def test_a_free_port_can_be_bound_and_then_listens() -> None:
    port = free_port()
    assert not listening(port)
    with socket.create_server((LOCAL, port)):
        assert listening(port)
    assert not listening(port)


def test_who_holds_a_port() -> None:
    """A port that is bound and not listened on is nobody's, and a process that is gone holds nothing."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with socket.socket() as server:
        server.bind((LOCAL, 0))
        port = server.getsockname()[1]
        assert not held_by(port, [os.getpid()])
        server.listen()
        assert held_by(port, [gone.pid, os.getpid()])
        assert not held_by(port, [os.getppid()])
    assert not held_by(port, [os.getpid()])
