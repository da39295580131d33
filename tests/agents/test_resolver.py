"""One look-up for all who ask, answers that are kept and grow old, and resolvers that are away."""

import asyncio
import socket
import time
from collections.abc import Iterable
from threading import Event

import pytest

from agents import http_client, resolver
from agents.http_client import HttpClient
from agents.provider import Reply
from agents.resolver import AGAIN_S, FRESH_S, STALE_S, AddressInfo, Resolver
from tests.agents.servers import OK, saying, serving

V4, V6 = socket.AF_INET, socket.AF_INET6


def info(address: str, port: int = 443, family: int = V4) -> AddressInfo:
    return family, socket.SOCK_STREAM, 6, "", (address, port)


class Names:
    """A resolver of the system: what it answers, how long it takes, and how often it was asked."""

    def __init__(self, *found: AddressInfo, takes_s: float = 0.0) -> None:
        self.found, self.takes_s, self.asked = list(found), takes_s, 0
        self.fails: Exception | None = None

    def __call__(self, host: str, port: int) -> Iterable[AddressInfo]:
        self.asked += 1
        time.sleep(self.takes_s)
        if self.fails is not None:
            raise self.fails
        return self.found


@pytest.fixture
def pass_s(monkeypatch: pytest.MonkeyPatch) -> "Passing":
    return Passing(monkeypatch)


class Passing:
    """Lets the loop's time pass at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch, self._ahead = monkeypatch, 0.0

    def __call__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._ahead += seconds
        ahead = self._ahead
        self._monkeypatch.setattr(loop, "time", lambda: time.monotonic() + ahead)


async def asked(names: Names, times: int) -> None:
    """Wait until the resolver was asked so often and its answer has come."""
    while names.asked < times:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)


async def test_192_first_calls_to_a_slow_resolver_make_one_look_up_and_all_go_through() -> None:
    async with serving(saying(OK)) as server:
        names = Names(info("127.0.0.1", server.port), takes_s=0.03)
        client = HttpClient(192, resolver=Resolver(names))
        call = http_client.Call("POST", f"http://provider.example:{server.port}/send", {}, b"x", 5.0)
        answers = await asyncio.gather(*(client.exchange(call, 5.0) for _ in range(192)))
        assert names.asked == 1
        assert sum(isinstance(answer, Reply) for answer in answers) == 192
    client.close()


async def test_an_answer_is_served_while_it_is_fresh_and_then_once_more_while_the_next_is_asked_for(
    pass_s: Passing,
) -> None:
    names = Names(info("192.0.2.1"))
    shared = Resolver(names)
    for _ in range(3):
        assert await shared.addresses("a", 443) == [info("192.0.2.1")]
    assert names.asked == 1
    names.found = [info("192.0.2.2")]
    pass_s(FRESH_S)
    assert await shared.addresses("a", 443) == [info("192.0.2.1")], "nobody waits for the look-up"
    await asked(names, 2)
    assert await shared.addresses("a", 443) == [info("192.0.2.2")]


async def test_while_the_resolver_is_away_the_last_answer_is_served_for_some_minutes(pass_s: Passing) -> None:
    names = Names(info("192.0.2.1"))
    shared = Resolver(names)
    await shared.addresses("a", 443)
    names.fails = socket.gaierror(socket.EAI_AGAIN, "away")
    pass_s(STALE_S - 1)
    assert await shared.addresses("a", 443) == [info("192.0.2.1")]
    await asked(names, 2)
    pass_s(2)
    with pytest.raises(socket.gaierror):
        await shared.addresses("a", 443)


async def test_a_look_up_that_failed_is_not_made_again_at_once(pass_s: Passing) -> None:
    names = Names()
    names.fails = socket.gaierror(socket.EAI_NONAME, "no such name")
    shared = Resolver(names)
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await shared.addresses("a", 443)
    assert names.asked == 1
    names.fails, names.found = None, [info("192.0.2.1")]
    pass_s(AGAIN_S)
    assert await shared.addresses("a", 443) == [info("192.0.2.1")]


async def test_addresses_that_cannot_be_reached_are_asked_for_again() -> None:
    names = Names(info("192.0.2.1"))
    shared = Resolver(names)
    await shared.addresses("a", 443)
    shared.doubt("a", 443)
    assert await shared.addresses("a", 443) == [info("192.0.2.1")]
    await asked(names, 2)


async def test_a_caller_who_gives_up_takes_the_look_up_from_nobody_else() -> None:
    names, let_go = Names(info("192.0.2.1")), Event()

    def look_up(host: str, port: int) -> Iterable[AddressInfo]:
        let_go.wait(10)
        return names(host, port)

    shared = Resolver(look_up)
    impatient, patient = (asyncio.create_task(shared.addresses("a", 443)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    let_go.set()
    assert await patient == [info("192.0.2.1")]
    assert names.asked == 1


async def test_addresses_of_a_family_take_turns_and_families_keep_their_order() -> None:
    six, one, two = info("2001:db8::1", family=V6), info("192.0.2.1"), info("192.0.2.2")
    shared = Resolver(Names(six, one, two))
    assert [await shared.addresses("a", 443) for _ in range(3)] == [[six, one, two], [six, two, one], [six, one, two]]


async def test_a_connection_retires_at_its_age_and_another_takes_its_place(pass_s: Passing) -> None:
    client = HttpClient(1, draw=lambda: 1.0)
    async with serving(saying(OK)) as server:
        await client.exchange(server.call(), 5.0)
        client._idle[("127.0.0.1", server.port, False)][0].idle_since += http_client.AGE_S
        pass_s(http_client.AGE_S * 0.8)
        await client.exchange(server.call(), 5.0)
        assert (server.connections, len(server.requests)) == (2, 2)
    client.close()


async def test_a_look_up_without_a_thread_fails_and_is_made_again(
    pass_s: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Resolver(Names(info("192.0.2.1")))
    with monkeypatch.context() as patched:
        patched.setattr("agents.resolver.Thread.start", lambda self: (_ for _ in ()).throw(RuntimeError("no thread")))
        with pytest.raises(OSError, match="no thread"):
            await shared.addresses("a", 443)
    pass_s(AGAIN_S)
    assert await shared.addresses("a", 443) == [info("192.0.2.1")]


def test_the_systems_resolver_knows_this_machine() -> None:
    assert "127.0.0.1" in {found[4][0] for found in resolver.system_look_up("localhost", 80)}
