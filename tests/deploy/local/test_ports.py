import socket

import pytest

from deploy.local.ports import FIRST, LAST, PortTaken, Reservation


def test_every_name_gets_a_port_of_its_own_below_the_ephemeral_range() -> None:
    with Reservation([f"server {n}" for n in range(50)], {}) as held:
        assert len(set(held.ports.values())) == 50
        assert all(FIRST <= port < LAST for port in held.ports.values())


def test_nobody_else_can_listen_on_a_reserved_port_until_it_is_released() -> None:
    with Reservation(["kafka", "redis"], {}) as held, socket.socket() as other:
        address = ("127.0.0.1", held.ports["kafka"])
        with pytest.raises(OSError, match="in use"):
            other.bind(address)
        held.release("kafka")
        other.bind(address)


def test_a_wanted_port_with_a_listener_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        with pytest.raises(PortTaken, match=f"s3 wants port {port}"):
            Reservation(["kafka", "s3"], {"s3": port})


def test_a_listener_on_every_interface_counts_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as owner:
        port = owner.getsockname()[1]
        with pytest.raises(PortTaken):
            Reservation(["dynamodb"], {"dynamodb": port})


def test_a_port_in_time_wait_after_an_earlier_run_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the server closes first, so the wait is on its side
    with Reservation(["kafka"], {"kafka": port}) as held:
        assert held.ports == {"kafka": port}
