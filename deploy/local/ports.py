"""Free ports on 127.0.0.1, held until the server that is to have them starts."""

import random
import socket
from collections.abc import Iterable, Mapping
from typing import Self

# Below Linux's ephemeral range (32768 and up): a client that calls a port of that range while its server is down can
# be connected to itself, and a passing outgoing connection can take the port away during a restart.
FIRST, LAST = 20_000, 32_000
TRIES = 200


class PortTaken(Exception):
    """A port that was asked for by number has another owner."""


class Reservation:
    """One port for each name, bound but not listening, so that nothing else can answer there.

    `wanted` fixes the port of some names; the others get a free one. Raises PortTaken, naming the server and the port.
    """

    def __init__(self, names: Iterable[str], wanted: Mapping[str, int]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        try:
            for name in names:
                self._sockets[name] = _fixed(name, wanted[name]) if name in wanted else _free()
        except BaseException:
            self.release()
            raise
        self.ports: dict[str, int] = {name: held.getsockname()[1] for name, held in self._sockets.items()}

    def release(self, *names: str) -> None:
        """Let go of the named ports (all of them without a name), right before their servers bind them."""
        for name in names or tuple(self._sockets):
            if held := self._sockets.pop(name, None):
                held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _fixed(name: str, port: int) -> socket.socket:
    held = socket.socket()
    # As servers do: connections of an earlier run in TIME_WAIT do not count as taken; a listening server does.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(("127.0.0.1", port))
    except OSError as error:
        held.close()
        raise PortTaken(
            f"{name} wants port {port} on 127.0.0.1, which is taken: stop its owner or give {name} another port."
        ) from error
    return held


def _free() -> socket.socket:
    for _ in range(TRIES):
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", random.randrange(FIRST, LAST)))  # noqa: S311
        except OSError:
            held.close()
        else:
            return held
    raise PortTaken(f"No free port between {FIRST} and {LAST} on 127.0.0.1 in {TRIES} tries: stop what uses them.")
