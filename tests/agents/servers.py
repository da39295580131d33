"""Servers on real sockets that answer as they are told: by the protocol, bent or broken."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from agents.http_client import HttpClient
from agents.provider import Call, Fault, Reply

Answering = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Counts connections and requests read to their end, and answers each as it was told."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.connections = 0
        self.open_now = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self.answering(self, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open_now -= 1
            writer.close()

    def call(self, timeout_s: float = 5.0, path: str = "/send?a=1", scheme: str = "http") -> Call:
        return Call("POST", f"{scheme}://127.0.0.1:{self.port}{path}", {"X-Key": "k"}, b"the body", timeout_s)


@asynccontextmanager
async def serving(answering: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answering)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def saying(*parts: bytes, pause_s: float = 0.0, then_close: bool = False) -> Answering:
    async def answer(_: Server, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if then_close:
            writer.close()

    return answer


async def resetting(_: Server, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silent(_: Server, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def ask(server: Server, client: HttpClient, timeout_s: float = 5.0) -> Reply | Fault:
    return await client.exchange(server.call(), timeout_s)
