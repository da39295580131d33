"""What a connection makes of answers that keep the protocol, bend it or break it, over real sockets."""

import asyncio

import pytest

from agents.http_client import HttpClient
from agents.http_connection import BODY_BYTES
from agents.provider import Fault, Reply
from tests.agents.servers import OK, Answering, ask, resetting, saying, serving, silent

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
KEPT = {
    "whole": saying(OK),
    "byte by byte": saying(*(OK[n : n + 1] for n in range(len(OK)))),
    "chunked": saying(CHUNKED),
    "chunked byte by byte": saying(*(CHUNKED[n : n + 1] for n in range(len(CHUNKED)))),
    "after interim answers": saying(HINTED + OK),
    "after interim answers byte by byte": saying(*((HINTED + OK)[n : n + 1] for n in range(len(HINTED + OK)))),
}


@pytest.mark.parametrize("answering", KEPT.values(), ids=KEPT)
async def test_an_answer_in_any_framing_leaves_the_connection_for_the_next(answering: Answering) -> None:
    client = HttpClient(1)
    async with serving(answering) as server:
        for _ in range(3):
            answer = await ask(server, client)
            assert isinstance(answer, Reply)
            assert (answer.status, answer.body, "link" in answer.headers) == (200, b"ok", False)
        assert server.connections == 1
    client.close()


CLOSING = {
    "connection: close": saying(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
    "a body that ends with the connection": saying(b"HTTP/1.1 200 OK\r\n\r\no", b"k", pause_s=0.01, then_close=True),
    "HTTP/1.0": saying(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    "a second answer nobody asked for": saying(OK + b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"),
    "bytes after the answer": saying(OK + b"\x00\x01rubbish"),
    "a length that is more than was sent": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", then_close=True),
}


@pytest.mark.parametrize("answering", CLOSING.values(), ids=CLOSING)
async def test_a_connection_that_did_not_end_cleanly_is_not_used_again(answering: Answering) -> None:
    client = HttpClient(1)
    async with serving(answering) as server:
        for _ in range(3):
            answer = await ask(server, client)
            assert isinstance(answer, Reply)
            assert (answer.status, answer.body) == (200, b"ok")
        assert (server.connections, len(server.requests)) == (3, 3)
    client.close()


CUT_SHORT = {
    "hang": (silent, "timed_out"),
    "reset after read": (resetting, "connection_lost"),
    "closed without a word": (saying(then_close=True), "connection_lost"),
    "half a head": (saying(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True), "connection_lost"),
    "not HTTP": (saying(b"SSH-2.0-OpenSSH_9.6\r\n"), "reply_unreadable"),
    "a head that never ends": (saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000), "reply_too_long"),
}


@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize(("answering", "what"), CUT_SHORT.values(), ids=CUT_SHORT)
async def test_without_a_whole_head_the_request_may_have_been_read_and_is_not_sent_again(
    answering: Answering, what: str, kept: bool
) -> None:
    client = HttpClient(2)
    async with serving(saying(OK)) as server:
        for _ in range(kept):
            assert isinstance(await ask(server, client), Reply)
        server.answering = answering
        assert await ask(server, client, 0.3) == Fault(nothing_left=False, what=what)
        await asyncio.sleep(0.05)
        assert (server.connections, len(server.requests)) == (1, 1 + kept)
    client.close()


LATE = b"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\n"
PARTIAL = {
    "truncated": saying(LATE, b"only this", then_close=True),
    "drip": saying(LATE, b"only this", pause_s=0.01),
    "broken chunks": saying(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nZ\r\n"),
}


@pytest.mark.parametrize("answering", PARTIAL.values(), ids=PARTIAL)
async def test_once_the_head_is_there_the_status_counts_though_the_body_is_cut_short(answering: Answering) -> None:
    client = HttpClient(2)
    async with serving(answering) as server:
        answer = await ask(server, client, 0.3)
        assert isinstance(answer, Reply)
        assert (answer.status, answer.body, len(server.requests)) == (503, b"only this", 1)
    client.close()


async def test_of_a_huge_body_only_the_beginning_is_read() -> None:
    client = HttpClient(1)
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", b"x" * 10_000_000)) as server:
        answer = await ask(server, client)
        assert isinstance(answer, Reply)
        assert answer.body == b"x" * BODY_BYTES
        assert len(server.requests) == 1
    client.close()


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    client = HttpClient(1)
    async with serving(saying(b"HTTP/1.1 307 Go\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")) as server:
        answer = await ask(server, client)
        assert isinstance(answer, Reply)
        assert (answer.status, len(server.requests)) == (307, 1)
    client.close()


async def test_a_cookie_is_not_kept() -> None:
    client = HttpClient(1)
    async with serving(saying(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")) as server:
        await ask(server, client)
        await ask(server, client)
        assert not any(b"cookie" in each.lower() for each in server.requests)
    client.close()
