"""One connection: HTTP/1.1 with keep-alive and pipelining, answers in the order of the requests."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

from deploy.sandbox.exchange import Answer, Request
from deploy.sandbox.sandbox import Ending, Plan

BODY_MAX = 1 << 20  # bytes
_LINGER = 1.0  # seconds a refused client has to read why
_PIECES = 10  # of a dripped answer

_MALFORMED = Answer(400, b'{"error":"malformed HTTP: send HTTP/1.1"}')
_UPGRADE = Answer(400, b'{"error":"no upgrades here: send plain HTTP/1.1"}')
_TOO_LARGE = Answer(413, b'{"error":"the body is over 1 MiB: send less"}')


@dataclass(slots=True)
class _Slot:
    """The place of one answer in the connection's order."""

    plan: Plan
    last: bool
    ready: bool = False


class Hall:
    """What the connections share: who takes their requests, and the end of the loop's tick.

    Answers wait for that end, when `flush` has put the tick's ledger rows on file in one write.
    """

    def __init__(self, take: Callable[[Request], Plan], cuts_off: Callable[[bytes], bool], flush: Callable[[], None]):
        self.take = take
        self.cuts_off = cuts_off
        self.flush = flush
        self.open: set[Connection] = set()
        self._due: list[Connection] = []

    def speak_at_end_of_tick(self, connection: Connection) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._end_tick)
        self._due.append(connection)

    def _end_tick(self) -> None:
        self.flush()
        due, self._due = self._due, []
        for connection in due:
            connection.speak()


class Connection(asyncio.Protocol):
    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._slots: deque[_Slot] = deque()
        self._read: list[Request] = []
        self._refusal: Answer | None = None
        self._cut = False
        self._deaf = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._hall.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._slots.clear()
        self._hall.open.discard(self)

    def pause_writing(self) -> None:
        """The client reads none of its answers: take no more of its requests."""
        if self._transport and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refusal = self._refusal or _MALFORMED
        read, self._read = self._read, []
        for request in read:
            self._place(self._hall.take(request), last=not request.keep_alive)
        if self._cut:
            self._place(Plan(_MALFORMED, Ending.RESET), last=True)
        elif self._refusal:
            self._place(Plan(self._refusal), last=True)

    # What the parser calls

    def on_message_begin(self) -> None:
        self._url = self._authorization = self._content_type = b""
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"authorization":
            self._authorization = value
        elif name == b"content-type":
            self._content_type = value
        elif name == b"content-length" and value.isdigit() and int(value) > BODY_MAX:
            self._refusal = _TOO_LARGE

    def on_headers_complete(self) -> None:
        if self._parser.should_upgrade():
            self._refusal = self._refusal or _UPGRADE
        elif not self._cut and not self._refusal and self._hall.cuts_off(self._url.partition(b"?")[0]):
            self._cut = True

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > BODY_MAX:
            self._refusal = _TOO_LARGE
        elif not self._refusal and not self._cut:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._cut or self._refusal:
            return
        path, _, query = self._url.partition(b"?")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._read.append(
            Request(
                self._parser.get_method(),
                path,
                query,
                self._authorization,
                self._content_type,
                body,
                self._parser.should_keep_alive(),
            )
        )

    # Answering

    def _place(self, plan: Plan, last: bool) -> None:
        slot = _Slot(plan, last)
        self._slots.append(slot)
        self._deaf = self._deaf or last
        if plan.delay > 0:
            asyncio.get_running_loop().call_later(plan.delay, self._ripen, slot)
        else:
            slot.ready = True
        # Also with nothing to say yet: the end of the tick puts the request's row on file.
        self._hall.speak_at_end_of_tick(self)

    def _ripen(self, slot: _Slot) -> None:
        slot.ready = True
        self._hall.speak_at_end_of_tick(self)

    def speak(self) -> None:
        """Give every answer whose turn has come."""
        while self._slots and self._slots[0].ready:
            slot, transport = self._slots[0], self._transport
            if transport is None or transport.is_closing():
                return
            ending = slot.plan.ending
            if ending is Ending.HANG:
                return
            if ending is Ending.DRIP:
                slot.ready = False
                self._drip(slot, slot.plan.answer.encode(not slot.last))
                return
            self._slots.popleft()
            self._give(transport, slot)

    def _give(self, transport: asyncio.Transport, slot: _Slot) -> None:
        answer, ending = slot.plan.answer, slot.plan.ending
        if ending is Ending.RESET:
            self._reset(transport)
        elif ending is Ending.TRUNCATED:
            whole = answer.encode()
            transport.write(whole[: len(whole) - max(len(answer.body) // 2, 1 if answer.body else len(whole) // 2)])
            self._end(transport)
        else:
            transport.write(answer.encode(not slot.last))
            if slot.last:
                self._end(transport)

    def _drip(self, slot: _Slot, rest: bytes, size: int = 0) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        size = size or -(-len(rest) // _PIECES)
        self._transport.write(rest[:size])
        if rest := rest[size:]:
            asyncio.get_running_loop().call_later(slot.plan.over / _PIECES, self._drip, slot, rest, size)
            return
        self._slots.popleft()
        if slot.last:
            self._end(self._transport)
        self.speak()

    def _end(self, transport: asyncio.Transport) -> None:
        """Say no more, but read on for a while: closing on unread bytes would reset the answer away."""
        self._deaf = True
        self._slots.clear()
        transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER, transport.close)

    def _reset(self, transport: asyncio.Transport) -> None:
        """Close with a TCP reset, not an orderly end."""
        self._deaf = True
        self._slots.clear()
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()
