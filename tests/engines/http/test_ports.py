import socket

from fk_overlay.engines.http.ports import LOCAL, free_port, listening


def test_a_free_port_can_be_bound_and_then_listens() -> None:
    port = free_port()
    assert not listening(port)
    with socket.create_server((LOCAL, port)):
        assert listening(port)
    assert not listening(port)
