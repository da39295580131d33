"""A TCP proxy that can be a bad network: late, cut off, silent in one direction, narrow, closed, or answering itself.

It runs on a loop in a thread of its own; what it is to do may be changed at any time from any other.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_CHUNK = 65_536
_LOOK_S = 0.05

Answer = Callable[[bytes], bytes | None]
"""An HTTP request's whole text to the answer given in the server's place, or None to let it through."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What becomes of what passes. Seconds, shares from 0 to 1, bytes a second (0: no bound)."""

    delay_s: float = 0.0
    reset: float = 0.0  # of the chunks: the connection is reset in their place
    deaf: bool = False  # what clients send is lost
    mute: bool = False  # what the server sends is lost
    closed: bool = False  # no connection is taken, and none stays
    bytes_s: int = 0
    answer: Answer | None = None


FAIR = Weather()


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes everything to `to` (a port there)."""

    def __init__(self, port: int) -> None:
        self.port, self.to = port, 0
        self._weather, self._draw = FAIR, random.Random(port)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, weather: Weather) -> None:
        """From now on."""
        self._weather = weather
        if weather.closed:
            self._loop.call_soon_threadsafe(self._abort)

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._weather.closed:
            _reset(client)
            return
        with contextlib.suppress(OSError, asyncio.CancelledError):
            from_server, server = await asyncio.open_connection("127.0.0.1", self.to)
            self._writers |= {client, server}
            up = asyncio.create_task(self._pass(reader, server, client, upward=True))
            await self._pass(from_server, client, server, upward=False)
            await up
        self._writers.discard(client)
        client.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        """One direction, until either end closes; then the other end is closed, too."""
        try:
            while data := await self._read(reader, upward=upward):
                weather = self._weather
                if self._draw.random() < weather.reset:
                    _reset(writer)
                    _reset(other)
                if weather.delay_s or weather.bytes_s:
                    await asyncio.sleep(weather.delay_s + (len(data) / weather.bytes_s if weather.bytes_s else 0.0))
                if weather.deaf if upward else weather.mute:
                    continue
                if upward and weather.answer is not None and (answer := weather.answer(data)) is not None:
                    other.write(answer)
                    continue
                writer.write(data)
                await writer.drain()
        except (OSError, EOFError):
            pass  # a broken end is passed on: the other is aborted too
        finally:
            writer.transport.abort()
            other.transport.abort()
            self._writers -= {writer, other}

    async def _read(self, reader: asyncio.StreamReader, *, upward: bool) -> bytes:
        """The next chunk; where requests may be answered here, a whole one."""
        if not upward or self._weather.answer is None:
            return await reader.read(_CHUNK)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = head.lower().split(b"\r\n")
        length = next((int(field[15:]) for field in fields if field.startswith(b"content-length:")), 0)
        return head + await reader.readexactly(length)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, not in order."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
