"""Addresses of hosts: one look-up at a time for each, shared by all who ask, its answer kept for a while.

A look-up that nobody shares is made once a connection, and a cold start opens hundreds. Answers that are old are served
while a fresh one is asked for, and for some minutes where none is to be had. A look-up runs in a thread of its own: the
event loop's few threads would all wait for a resolver that is away, and connections to known addresses behind them.
"""

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from threading import Thread

FRESH_S = 30.0
"""How long an answer is served before it is asked for again: about what the names of large providers live."""
STALE_S = 300.0
"""How long an answer is served at most where no later one is to be had."""
AGAIN_S = 1.0
"""After a look-up that failed the next one waits so long."""

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""As `socket.getaddrinfo` returns it: family, type, protocol, canonical name, socket address."""
LookUp = Callable[[str, int], Iterable[AddressInfo]]
Host = tuple[str, int]


@dataclass(slots=True)
class _Known:
    """The last answer for a host, when it came, and when a look-up last failed (the loop's seconds)."""

    found: list[AddressInfo]
    at: float
    failure: Exception | None = None
    failed_at: float = 0.0


def system_look_up(host: str, port: int) -> Iterable[AddressInfo]:
    """Ask the system's resolver. Raises OSError or UnicodeError; blocks."""
    found: Iterable[AddressInfo] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[assignment]
    return found


class Resolver:
    """Belongs to one event loop. `look_up` blocks, and raises OSError or UnicodeError."""

    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up
        self._known: dict[Host, _Known] = {}
        self._asking: dict[Host, asyncio.Future[None]] = {}
        self._turn = count()

    async def addresses(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of a host; those of a family take turns to be first. Raises OSError or UnicodeError."""
        place, now = (host, port), asyncio.get_running_loop().time()
        known = self._known.get(place)
        if known is None or (now - known.at >= STALE_S and now - known.failed_at >= AGAIN_S):
            await asyncio.shield(self._ask(place))
            known = self._known[place]
        elif now - known.at >= FRESH_S and now - known.failed_at >= AGAIN_S:
            self._ask(place)
        if asyncio.get_running_loop().time() - known.at >= STALE_S and known.failure is not None:
            raise type(known.failure)(*known.failure.args)
        return _by_turns(known.found, next(self._turn))

    def doubt(self, host: str, port: int) -> None:
        """No address of a host could be reached: they are asked for again, beside the next call."""
        known = self._known.get((host, port))
        if known is not None:
            known.at = min(known.at, asyncio.get_running_loop().time() - FRESH_S)

    def _ask(self, place: Host) -> "asyncio.Future[None]":
        asking = self._asking.get(place)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = self._asking[place] = loop.create_future()

            def look_up() -> None:
                answer: list[AddressInfo] | Exception
                try:
                    answer = list(self._look_up(*place))
                except (OSError, UnicodeError) as error:
                    answer = error
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(self._answered, place, answer)

            try:
                Thread(target=look_up, name="resolver", daemon=True).start()
            except RuntimeError as error:  # no thread can be started: the next call asks again
                self._answered(place, OSError(str(error)))
        return asking

    def _answered(self, place: Host, answer: list[AddressInfo] | Exception) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(answer, Exception):
            known = self._known.setdefault(place, _Known([], now - STALE_S))
            known.failure, known.failed_at = answer, now
        else:
            self._known[place] = _Known(answer, now)
        self._asking.pop(place).set_result(None)


def _by_turns(found: Iterable[AddressInfo], turn: int) -> list[AddressInfo]:
    """Addresses by family, in the resolver's order of families; within one the first is the next in turn."""
    families: dict[int, list[AddressInfo]] = defaultdict(list)
    for info in found:
        families[info[0]].append(info)
    return list(chain.from_iterable(of[turn % len(of) :] + of[: turn % len(of)] for of in families.values()))
