import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from proxy import FAIR, Proxy, Weather

from deploy.local.ports import Reservation

PATIENCE_S = 5.0


class Echo(threading.Thread):
    """A server that sends back what it reads."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1000):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before an echo."""
    echo = Echo()
    echo.start()
    with Reservation(["proxy"], {}) as held:
        made = Proxy(held.ports["proxy"])
    made.to = echo.port
    with made:
        yield made
    echo.close()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S)


def echoed(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return client.recv(1000)


def test_in_fair_weather_all_passes(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert echoed(client) == b"hello"


def test_what_is_delayed_comes_later_in_both_directions(proxy: Proxy) -> None:
    proxy.set(Weather(delay_s=0.1))
    with connected(proxy) as client:
        began = time.monotonic()
        assert echoed(client) == b"hello"
        assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("weather", [Weather(deaf=True), Weather(mute=True)])
def test_a_direction_that_is_lost_leaves_the_connection_open(proxy: Proxy, weather: Weather) -> None:
    with connected(proxy) as client:
        proxy.set(weather)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            echoed(client)
        proxy.set(FAIR)
        client.settimeout(PATIENCE_S)
        assert echoed(client, b"again") == b"again"


def test_a_reset_ends_the_connection(proxy: Proxy) -> None:
    proxy.set(Weather(reset=1.0))
    with connected(proxy) as client:
        client.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_closed_it_takes_none_and_keeps_none(proxy: Proxy) -> None:
    with connected(proxy) as before:
        assert echoed(before) == b"hello"
        proxy.set(Weather(closed=True))
        assert ended(lambda: before)
        assert ended(lambda: connected(proxy))


def ended(client: Callable[[], socket.socket]) -> bool:
    """Whether the connection is of no use. The reset may come while it is still being made."""
    try:
        with client() as connection:
            return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_an_answer_in_the_servers_place_is_given_to_a_whole_request(proxy: Proxy) -> None:
    asked: list[bytes] = []

    def answer(request: bytes) -> bytes | None:
        asked.append(request)
        return None if b"pass" in request else b"mine"

    proxy.set(Weather(answer=answer))
    with connected(proxy) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe")
        client.sendall(b"llo")
        assert client.recv(1000) == b"mine"
        assert asked == [b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"]
        through = b"POST /pass HTTP/1.1\r\n\r\n"
        assert echoed(client, through) == through


def test_what_is_narrow_takes_its_time(proxy: Proxy) -> None:
    proxy.set(Weather(bytes_s=50_000))
    with connected(proxy) as client:
        began = time.monotonic()
        client.sendall(b"x" * 10_000)
        left = 10_000
        while left:
            left -= len(client.recv(10_000))
        assert time.monotonic() - began >= 0.2
