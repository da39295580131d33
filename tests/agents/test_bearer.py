"""The token against a real token endpoint of a few lines, and a clock that the test moves."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from agents.bearer import FRESH_S, PAUSE_S, Bearer
from agents.http_client import HttpClient
from agents.provider import Call, Fault, Kind, Reply, Result, Token

LIFE_S = 1000.0


@dataclass
class Endpoint:
    """Sells `token-1`, `token-2`, ...; `open` lets it answer, `failing` makes it refuse."""

    port: int = 0
    sold: int = 0
    failing: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.open.wait()
                self.sold += 1
                body = b"" if self.failing else b"token-%d" % self.sold
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


@dataclass
class Credential:
    """Asks the endpoint; signing takes `signing_s` of a thread's time."""

    port: int
    signing_s: float = 0.0
    provider: str = "fcm"
    threads: list[int] = field(default_factory=list)

    def call(self, now_s: float) -> Call:
        self.threads.append(threading.get_ident())
        threading.Event().wait(self.signing_s)
        return Call("POST", f"http://127.0.0.1:{self.port}/", {}, b"", 5.0)

    def read(self, reply: Reply | Fault) -> Token | Result:
        if isinstance(reply, Reply) and reply.body:
            return Token(reply.body.decode(), LIFE_S)
        return Result(Kind.UNAVAILABLE, self.provider, "token_unavailable")


class Clock:
    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    endpoint.open.set()
    listening = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.port = listening.sockets[0].getsockname()[1]
    yield endpoint
    listening.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credential(endpoint: Endpoint) -> Credential:
    return Credential(endpoint.port)


@pytest.fixture
async def bearer(credential: Credential, clock: Clock) -> AsyncIterator[Bearer]:
    bearer = Bearer(credential, HttpClient(1), time.time, clock)
    yield bearer
    await bearer.close()


async def settled(bearer: Bearer) -> None:
    if renewal := bearer.refresh():
        await asyncio.wait({renewal})


async def test_many_who_need_the_first_token_share_one_request(bearer: Bearer, endpoint: Endpoint) -> None:
    assert set(await asyncio.gather(*(bearer.token(5.0) for _ in range(50)))) == {"token-1"}
    assert await bearer.token(5.0) == "token-1"
    assert endpoint.sold == 1


async def test_past_four_fifths_of_its_life_the_old_token_serves_while_the_new_one_comes(
    bearer: Bearer, endpoint: Endpoint, clock: Clock
) -> None:
    await bearer.token(5.0)
    clock.now += LIFE_S * 0.79
    assert await bearer.token(5.0) == "token-1"
    assert endpoint.sold == 1
    clock.now += LIFE_S * 0.02
    endpoint.open.clear()
    for _ in range(10):
        assert await asyncio.wait_for(bearer.token(5.0), 0.1) == "token-1"
    endpoint.open.set()
    async with asyncio.timeout(2.0):
        while await bearer.token(5.0) != "token-2":
            await asyncio.sleep(0.001)
    assert endpoint.sold == 2


async def test_a_token_past_its_life_is_never_used(bearer: Bearer, clock: Clock) -> None:
    await bearer.token(5.0)
    clock.now += LIFE_S
    assert await bearer.token(5.0) == "token-2"


async def test_who_can_wait_no_longer_hears_that_there_is_no_token(bearer: Bearer, endpoint: Endpoint) -> None:
    endpoint.open.clear()
    result = await asyncio.wait_for(bearer.token(0.05), 1.0)
    assert isinstance(result, Result)
    assert (result.kind, result.reason, result.provider) == (Kind.UNAVAILABLE, "token_unavailable", "fcm")
    endpoint.open.set()
    assert await bearer.token(5.0) == "token-1", "the request was not cancelled with the one who left"


async def test_after_a_failure_the_endpoint_is_left_alone_for_a_moment(
    bearer: Bearer, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.failing = True
    for _ in range(20):
        assert isinstance(await bearer.token(5.0), Result)
    assert endpoint.sold == 1
    endpoint.failing = False
    clock.now += PAUSE_S
    assert await bearer.token(5.0) == "token-2"


async def test_a_failed_renewal_leaves_the_valid_token_in_use(bearer: Bearer, endpoint: Endpoint, clock: Clock) -> None:
    await bearer.token(5.0)
    endpoint.failing = True
    clock.now += LIFE_S * 0.9
    for _ in range(5):
        assert await bearer.token(5.0) == "token-1"
    await settled(bearer)
    assert await bearer.token(5.0) == "token-1"


async def test_a_refused_token_is_dropped_once_and_a_fresh_one_is_not(bearer: Bearer, clock: Clock) -> None:
    await bearer.token(5.0)
    assert not bearer.drop("token-1")
    assert await bearer.token(5.0) == "token-1"
    clock.now += FRESH_S
    assert bearer.drop("token-1")
    assert await bearer.token(5.0) == "token-2"
    assert bearer.drop("token-1"), "a call that began with the old one"
    assert await bearer.token(5.0) == "token-2"


async def test_signing_holds_no_loop(credential: Credential, bearer: Bearer) -> None:
    credential.signing_s = 0.3
    renewal = asyncio.create_task(bearer.token(5.0))
    longest_s, last = 0.0, time.perf_counter()
    while not renewal.done():
        await asyncio.sleep(0.001)
        longest_s, last = max(longest_s, time.perf_counter() - last), time.perf_counter()
    assert await renewal == "token-1"
    assert longest_s < 0.05
    assert credential.threads != [threading.get_ident()]
