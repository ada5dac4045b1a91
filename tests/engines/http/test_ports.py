import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fk_overlay.engines.http import ports
from fk_overlay.engines.http.ports import HANDED_OUT, HIGHEST, LOCAL, LOWEST, free_port, held_by, listening


def test_a_free_port_can_be_bound_and_then_listens() -> None:
    port = free_port()
    assert not listening(port)
    with socket.create_server((LOCAL, port)):
        assert listening(port)
    assert not listening(port)


def test_a_free_port_is_none_that_the_system_hands_out() -> None:
    """Else an engine's own rendezvous may be given the port between this call and the server's start."""
    low, high = map(int, HANDED_OUT.read_text().split())
    assert not any(low <= free_port() <= high for _ in range(50))


@pytest.mark.parametrize("handed_out", ["1024 65535", None])
def test_a_free_port_where_all_are_handed_out_or_nothing_is_told(
    handed_out: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "range"
    if handed_out is not None:
        told.write_text(handed_out)
    monkeypatch.setattr(ports, "HANDED_OUT", told)
    assert LOWEST <= free_port() < HIGHEST


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
