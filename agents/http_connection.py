"""One connection: writes a request, reads its answer, and knows when it may be used again."""

import asyncio
import math
import socket
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from agents.provider import Fault

BODY_BYTES = HEAD_BYTES = 65_536
"""More of a reply's body is not read; a longer head is no reply."""

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers by lower-case name, body."""


class Connection(asyncio.Protocol):
    """A reply counts from the moment its head is complete: a body that is late, cut short or too long is handed over
    as far as it came. Before that moment whatever happens is a Fault, and the request may have been read."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._loop = asyncio.get_running_loop()
        self.usable = True
        self.idle_since = self._loop.time()
        self.retires_at = math.inf
        """The loop's seconds from which it takes no further request."""
        self._waiter: asyncio.Future[Answer | Fault] | None = None
        self._parser = HttpResponseParser(self)
        self._received = self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    async def exchange(self, request: bytes, deadline: float) -> Answer | Fault:
        """Write the request and wait for its answer until `deadline` in loop time.

        Only a clean end leaves the connection `usable`; any other, and being cancelled, closes it.
        """
        if not self.usable:
            return Fault(nothing_left=True, what="connection_lost")
        self._clear()
        self.usable = False
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        timer = self._loop.call_at(deadline, self._end, "timed_out")
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.usable = False
            raise
        finally:
            timer.cancel()
            self._waiter = None
            self.idle_since = self._loop.time()
            if not self.usable:
                self.close()

    def alive(self) -> bool:
        """Whether the server has neither closed an idle connection nor spoken out of turn, by what the kernel holds."""
        if not self.usable:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self.usable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.close()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._end("reply_unreadable")
        if self._received > HEAD_BYTES + BODY_BYTES or (not self._status and self._received > HEAD_BYTES):
            self._end("reply_too_long")

    def eof_received(self) -> None:
        self._end("connection_lost")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("connection_lost")

    def on_message_begin(self) -> None:
        self.usable = False  # should this be a second answer to one request, it is nobody's
        self._status = 0
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200 and self._status != 101:  # interim: the answer is still to come
            self._status = 0
        elif self._settle(self._answer()):
            self.usable = self._parser.should_keep_alive()

    def _clear(self) -> None:
        self._received = self._status = 0
        self._headers = {}
        self._body = []

    def _end(self, what: str) -> None:
        """No more will be read: what came is the answer, if its head did."""
        self.usable = False
        if self._waiter is not None:
            self._settle(self._answer() if self._status else Fault(nothing_left=False, what=what))

    def _answer(self) -> Answer:
        return self._status, self._headers, b"".join(self._body)[:BODY_BYTES]

    def _settle(self, answer: Answer | Fault) -> bool:
        """Hand over the first answer there is; false for a later one."""
        if self._waiter is None or self._waiter.done():
            return False
        self._waiter.set_result(answer)
        return True
