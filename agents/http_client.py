"""Keep-alive HTTP/1.1 for one POST at a time, exact about one thing: did any byte of the request leave us?

Why not a client off the shelf: on this path it costs several times as much as the rest of a delivery, and it does not
say whether a dead kept-alive connection had taken our bytes. What is left out is left out on purpose: no redirect, no
cookie, no proxy from the environment, no pipelining and no second send, ever.
"""

import asyncio
import random
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from agents.http_connection import Connection
from agents.provider import Call, Fault, Reply
from agents.resolver import AddressInfo, Resolver

CONNECT_S = 2.0
"""For the name, the connection and the TLS handshake together."""
IDLE_S = 15.0
"""A connection idle for longer is not used again: providers close theirs after a minute or more."""
AGE_S = 300.0
"""A connection serves for so long at most, less up to a fifth: then an address that left the DNS is left as well."""

Origin = tuple[str, int, bool]
"""Host, port, whether over TLS."""


class HttpClient:
    """At most `limit` connections, one request in flight on each; any origin, though a provider has one or two.

    `now` gives the UTC seconds that a Reply carries, `draw` numbers from 0 to 1.
    """

    def __init__(
        self,
        limit: int,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
        resolver: Resolver | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._free = asyncio.Semaphore(limit)
        self._idle: dict[Origin, deque[Connection]] = {}
        self._tls = tls
        self._now = now
        self._resolver, self._draw = resolver or Resolver(), draw
        self._closed = False

    async def exchange(
        self, call: Call, timeout_s: float, last: Callable[[], Call | None] | None = None
    ) -> Reply | Fault:
        """Send `call` once, and answer within `timeout_s` seconds, the wait for a free connection included.

        `last` is asked when a connection is free and open, with nothing awaited between its answer and the first byte:
        the call as it is then, to the same URL, or None: then none is made, and the Fault is `stopped`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        origin, target = _split(call.url)
        request = _request(call, target)
        if request is None or timeout_s <= 0:
            return Fault(nothing_left=True, what="no_time_left" if request else "request_malformed")
        try:
            async with asyncio.timeout_at(deadline) if self._free.locked() else nullcontext():
                await self._free.acquire()
        except TimeoutError:
            return Fault(nothing_left=True, what="no_free_connection")
        try:
            connection = self._kept(origin, loop.time()) or await self._connected(origin, deadline)
            if isinstance(connection, Fault):
                return connection
            if not connection.usable:
                return Fault(nothing_left=True, what="connection_lost")
            if last is not None and (latest := last()) is not call:
                request = _request(latest, target) if latest is not None else None
            if request is None:
                self._keep(origin, connection)
                return Fault(nothing_left=True, what="stopped")
            answer = await connection.exchange(request, deadline)
            self._keep(origin, connection)
            return Reply(*answer, self._now()) if isinstance(answer, tuple) else answer
        finally:
            self._free.release()

    def close(self) -> None:
        """Drop the idle connections; those in flight close with their calls."""
        self._closed = True
        for kept in self._idle.values():
            while kept:
                kept.pop().close()

    def _keep(self, origin: Origin, connection: Connection) -> None:
        if self._closed:
            connection.close()
        elif connection.usable:
            self._idle.setdefault(origin, deque()).append(connection)

    def _kept(self, origin: Origin, now: float) -> Connection | None:
        """The connection used last, so that a quiet pool shrinks. One that the server closed meanwhile is not taken."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if now - connection.idle_since < IDLE_S and now < connection.retires_at and connection.alive():
                return connection
            connection.close()
        return None

    async def _connected(self, origin: Origin, deadline: float) -> Connection | Fault:
        host, port, tls = origin
        loop = asyncio.get_running_loop()
        opened: socket.socket | None = None
        connection: Connection | None = None
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_S)):
                found = await self._resolver.addresses(host, port)
                opened = await self._opened(found, host, port)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                taken = opened
                context = self._context() if tls else None
                _, connection = await loop.create_connection(
                    lambda: Connection(taken), sock=taken, ssl=context, server_hostname=host if tls else None
                )
            connection.retires_at = loop.time() + AGE_S * (1 - 0.2 * self._draw())
            return connection
        except TimeoutError:
            what = "connect_timed_out"
        except ssl.SSLError:
            what = "tls_failed"
        except (OSError, UnicodeError):  # the latter for a name that no resolver can be asked for
            what = "connect_failed"
        finally:
            if opened is not None and connection is None:
                opened.close()
        return Fault(nothing_left=True, what=what)

    async def _opened(self, found: list[AddressInfo], host: str, port: int) -> socket.socket:
        """A socket to the first address that answers (RFC 8305). Raises OSError, or is cancelled."""
        try:
            return await start_connection(found, happy_eyeballs_delay=0.25, interleave=1)
        except (OSError, asyncio.CancelledError):
            self._resolver.doubt(host, port)
            raise

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


@lru_cache(maxsize=256)
def _split(url: str) -> tuple[Origin, str]:
    """The origin, and the part of the request's head that follows from the address alone."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return (parts.hostname or "", parts.port or (443 if tls else 80), tls), f"{path} HTTP/1.1\r\nHost: {parts.netloc}"


def _request(call: Call, target: str) -> bytes | None:
    """The bytes of a request; None if a header would break out of its line."""
    lines = [f"{name}: {value}" for name, value in call.headers.items()]
    head = "\r\n".join((f"{call.method} {target}", *lines, f"Content-Length: {len(call.body)}"))
    if head.count("\n") != len(lines) + 2 or head.count("\r") != len(lines) + 2 or not head.isascii():
        return None
    return f"{head}\r\n\r\n".encode() + call.body
