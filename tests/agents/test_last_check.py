"""The last check: whatever a call waits for, nothing is awaited between the check and its first byte. Real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agents.attempt import NOT_STARTED, Outcome, Work
from agents.deliver import caller
from agents.provider import Provider, Sent, discover
from agents.render import Template
from agents.transport import Transport
from schemas.keys import user_suppression
from schemas.records import Delivery
from schemas.vocabulary import Reason
from tables import suppressions
from tests.agents.servers import Server, serving
from tests.agents.world import NOW, TWILIO, Delivering, a_delivery, id_of

PUSH = Template.read(msgspec.json.encode({"version": 1, "channels": {"push": {"title": "Order", "body": "Order"}}}))
TAKEN = b'{"sid": "SM1"}'
TOKEN = b'{"access_token": "t", "expires_in": 3600}'
LEFT_MS = 60_000


class Gate:
    """A server that answers with `body` once it is open."""

    def __init__(self, body: bytes) -> None:
        self.body, self.open = body, asyncio.Event()

    async def __call__(self, _: Server, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.body), self.body))


def opt_out(delivering: Delivering) -> None:
    told = suppressions.pack(True, NOW, ("*/*",))
    delivering.world.tables["suppressions"][user_suppression("shop", "anna")] = told


def pass_the_deadline(delivering: Delivering) -> None:
    delivering.world.clock.now += LEFT_MS


STOPS = [(opt_out, Reason.OPTED_OUT), (pass_the_deadline, Reason.PAST_DEADLINE)]
stopping = pytest.mark.parametrize(("stop", "why"), STOPS, ids=["an opt out", "the deadline"])


@asynccontextmanager
async def transporting(provider: Provider) -> AsyncIterator[Transport]:
    transport = Transport([provider])
    await transport.start()
    try:
        yield transport
    finally:
        await transport.stop()


def begun(delivering: Delivering, transport: Transport, provider: Provider, work: Work) -> asyncio.Task[Outcome]:
    call = caller(provider, transport.send, delivering.world.clock)
    return asyncio.ensure_future(call(work, delivering.world.tables))


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.001)


def of(key: str) -> Delivery:
    return a_delivery(notification_id=id_of(key), deadline_ms=NOW + LEFT_MS)


@stopping
async def test_what_stops_a_call_while_it_waits_for_a_connection_is_heeded(
    stop: Callable[[Delivering], None], why: Reason
) -> None:
    delivering, gate = Delivering(), Gate(TAKEN)
    works = [delivering.announce(of(key), offset) for offset, key in enumerate(("first", "waiting", "next"))]
    async with serving(gate) as server:
        one = replace(TWILIO, url=f"http://127.0.0.1:{server.port}", window=1)  # type: ignore[type-var]
        async with transporting(one) as transport:
            first = begun(delivering, transport, one, works[0])
            await until(lambda: server.requests)
            waiting = begun(delivering, transport, one, works[1])
            await until(lambda: transport._clients["twilio"]._free._waiters)
            stop(delivering)
            gate.open.set()
            outcome = await waiting
            assert (await first).result.message_id == "SM1"
            assert (outcome.stopped, outcome.called_ms, outcome.result) == (why, 0, NOT_STARTED)
            delivering.world.tables["suppressions"].clear()
            delivering.world.clock.now = NOW + 5_000
            after = await begun(delivering, transport, one, works[2])
            assert (after.result.message_id, after.called_ms) == ("SM1", NOW + 5_000)
            assert (len(server.requests), server.connections) == (2, 1), "the connection went back as it was"


def a_push_work(delivering: Delivering) -> Work:
    delivering.shelf["order"] = PUSH
    return delivering.announce(a_delivery("push", deadline_ms=NOW + LEFT_MS))


@pytest.fixture(scope="module")
def pem() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@asynccontextmanager
async def pushing(pem: str) -> AsyncIterator[tuple[Provider, Transport, Server, Gate]]:
    """FCM on servers of its own: the provider, its transport, the server of messages, and the gate of tokens."""
    taking, tokens = Gate(b'{"name": "m1"}'), Gate(TOKEN)
    taking.open.set()
    async with serving(taking) as messages, serving(tokens) as selling:
        fcm = discover({
            "CARILLON_FCM_URL": f"http://127.0.0.1:{messages.port}",
            "CARILLON_FCM_TOKEN_URL": f"http://127.0.0.1:{selling.port}/token",
            "CARILLON_FCM_PROJECT": "shop-1",
            "CARILLON_FCM_ACCOUNT": "carillon@shop-1.example",
            "CARILLON_FCM_KEY": pem,
        })["push"]  # fmt: skip
        async with transporting(fcm) as transport:
            await until(lambda: selling.requests)
            yield fcm, transport, messages, tokens


@stopping
async def test_what_stops_a_call_while_it_waits_for_a_token_is_heeded(
    stop: Callable[[Delivering], None], why: Reason, pem: str
) -> None:
    delivering = Delivering()
    work = a_push_work(delivering)
    async with pushing(pem) as (fcm, transport, messages, tokens):
        waiting = begun(delivering, transport, fcm, work)
        await asyncio.sleep(0)
        assert not waiting.done()
        stop(delivering)
        tokens.open.set()
        outcome = await waiting
        assert (outcome.stopped, outcome.called_ms, outcome.result) == (why, 0, NOT_STARTED)
        assert messages.requests == []


async def test_a_call_that_waited_says_when_it_began_and_tells_the_time_left_then(pem: str) -> None:
    delivering = Delivering()
    work = a_push_work(delivering)
    async with pushing(pem) as (fcm, transport, messages, tokens):
        waiting = begun(delivering, transport, fcm, work)
        await asyncio.sleep(0)
        delivering.world.clock.now += 20_000
        tokens.open.set()
        outcome = await waiting
        assert (outcome.result.reason, outcome.called_ms) == ("accepted", NOW + 20_000)
        assert b'"ttl":"40s"' in messages.requests[0]


async def test_a_call_cut_off_while_it_waits_is_known_to_have_sent_nothing(pem: str) -> None:
    delivering = Delivering()
    work = a_push_work(delivering)
    async with pushing(pem) as (fcm, transport, messages, _):
        waiting = begun(delivering, transport, fcm, work)
        await asyncio.sleep(0)
        waiting.cancel()
        outcome = await waiting
        assert (outcome.result.sent, outcome.called_ms, outcome.stopped) == (Sent.NO, 0, Reason.NONE)
        assert messages.requests == []
