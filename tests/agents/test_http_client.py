"""The client's connections: kept, limited, replaced, given up and cut off, over real sockets."""

import asyncio
import os
import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from agents.http_client import HttpClient
from agents.http_connection import Connection
from agents.provider import Call, Fault, Reply
from tests.agents.servers import OK, Server, ask, saying, serving, silent


async def test_a_call_is_one_request_with_its_headers_and_its_answer_comes_back() -> None:
    client = HttpClient(4, now=lambda: 7.0)
    async with serving(saying(b"HTTP/1.1 201 Created\r\nX-One: A\r\nContent-Length: 2\r\n\r\nok")) as server:
        answer = await ask(server, client)
    assert answer == Reply(201, {"x-one": "A", "content-length": "2"}, b"ok", 7.0)
    lines = f"POST /send?a=1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Key: k\r\nContent-Length: 8\r\n\r\nthe body"
    assert server.requests == [lines.encode()]
    client.close()


async def test_one_connection_serves_call_after_call() -> None:
    client = HttpClient(4)
    async with serving(saying(OK)) as server:
        for _ in range(20):
            assert isinstance(await ask(server, client), Reply)
        assert (server.connections, len(server.requests)) == (1, 20)
    client.close()


async def test_no_more_connections_than_the_limit_and_each_caller_gets_its_own_answer() -> None:
    async def echo(server: Server, writer: asyncio.StreamWriter) -> None:
        path = server.requests[-1].split()[1]
        await asyncio.sleep(0.002)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    client = HttpClient(8)
    async with serving(echo) as server:
        answers = await asyncio.gather(*(client.exchange(server.call(path=f"/{n}"), 5.0) for n in range(200)))
        assert [each.body for each in answers if isinstance(each, Reply)] == [b"/%d" % n for n in range(200)]
        assert server.connections <= 8
    client.close()


async def test_a_kept_connection_that_the_server_closed_is_replaced_before_a_byte_leaves() -> None:
    client = HttpClient(1)
    async with serving(saying(OK, then_close=True)) as server:
        for _ in range(5):
            assert isinstance(await ask(server, client), Reply)
            await asyncio.sleep(0.02)
        assert (server.connections, len(server.requests)) == (5, 5)
    client.close()


async def test_a_close_that_the_loop_has_not_seen_yet_is_found_before_a_byte_leaves() -> None:
    client = HttpClient(1)
    closing: list[asyncio.StreamWriter] = []

    async def keep(_: Server, writer: asyncio.StreamWriter) -> None:
        closing.append(writer)
        writer.write(OK)

    async with serving(keep) as server:
        for _ in range(5):
            assert isinstance(await ask(server, client), Reply)
            with socket.socket(fileno=os.dup(closing[-1].get_extra_info("socket").fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)
        assert (server.connections, len(server.requests)) == (5, 5)
    client.close()


async def test_what_a_server_says_out_of_turn_is_no_answer_to_the_next_call() -> None:
    client = HttpClient(1)
    spoken: list[asyncio.StreamWriter] = []

    async def keep(_: Server, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer)
        writer.write(OK)

    async with serving(keep) as server:
        await ask(server, client)
        spoken[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(2.0):
            while server.open_now:
                await asyncio.sleep(0.001)
        answer = await ask(server, client)
        assert isinstance(answer, Reply)
        assert (answer.status, server.connections) == (200, 2)
    client.close()


async def test_a_connection_idle_for_too_long_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.http_client.IDLE_S", 0.02)
    client = HttpClient(1)
    async with serving(saying(OK)) as server:
        await ask(server, client)
        await asyncio.sleep(0.05)
        await ask(server, client)
        assert (server.connections, len(server.requests)) == (2, 2)
    client.close()


async def test_a_cancelled_call_closes_its_connection_and_frees_its_place() -> None:
    client = HttpClient(1)
    async with serving(silent) as server:
        task = asyncio.create_task(ask(server, client))
        while not server.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.answering = saying(OK)
        answer = await ask(server, client)
        assert isinstance(answer, Reply)
        assert (answer.body, server.connections) == (b"ok", 2)
    client.close()


async def test_a_call_cancelled_in_the_moment_of_its_answer_leaks_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle = Connection._settle

    def settle_and_cancel(self: Connection, answer: tuple[int, dict[str, str], bytes] | Fault) -> bool:
        settled = settle(self, answer)
        task.cancel()
        return settled

    client = HttpClient(1)
    async with serving(saying(OK)) as server:
        monkeypatch.setattr(Connection, "_settle", settle_and_cancel)
        task = asyncio.create_task(ask(server, client))
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()
        async with asyncio.timeout(2.0):
            while server.open_now:
                await asyncio.sleep(0.001)
        assert isinstance(await ask(server, client), Reply)
    client.close()


async def test_a_late_answer_never_reaches_another_caller() -> None:
    given_up = asyncio.Event()

    async def late_once(server: Server, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            await given_up.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        else:
            writer.write(OK)

    client = HttpClient(1)
    async with serving(late_once) as server:
        assert await ask(server, client, 0.5) == Fault(False, "timed_out")
        given_up.set()
        for _ in range(5):
            answer = await ask(server, client)
            assert isinstance(answer, Reply)
            assert answer.body == b"ok"
            await asyncio.sleep(0.02)
    client.close()


async def test_nobody_listening_means_that_nothing_left(unused_tcp_port: int) -> None:
    client = HttpClient(1)
    call = Call("POST", f"http://127.0.0.1:{unused_tcp_port}/", {}, b"", 1.0)
    assert await client.exchange(call, 1.0) == Fault(True, "connect_failed")


@pytest.mark.parametrize("host", ["provider.invalid", f"{'a' * 70}.example"])
async def test_a_name_that_does_not_resolve_means_that_nothing_left(host: str) -> None:
    call = Call("POST", f"http://{host}/", {}, b"", 5.0)
    answer = await HttpClient(1).exchange(call, 5.0)
    assert isinstance(answer, Fault)
    assert answer.nothing_left


async def test_a_host_that_never_answers_the_connection_is_given_up_on_and_nothing_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.http_client.CONNECT_S", 0.1)
    with socket.socket() as deaf, ExitStack() as waiting:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # the queue of connections that nobody accepts is full after these
            queued = waiting.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(deaf.getsockname())
        call = Call("POST", f"http://127.0.0.1:{deaf.getsockname()[1]}/", {}, b"", 5.0)
        began = time.monotonic()
        assert await HttpClient(1).exchange(call, 5.0) == Fault(True, "connect_timed_out")
        assert time.monotonic() - began < 1


async def test_a_call_that_finds_no_free_connection_in_time_left_nothing() -> None:
    client = HttpClient(1)
    async with serving(silent) as server:
        first = asyncio.create_task(ask(server, client, 0.5))
        while not server.requests:
            await asyncio.sleep(0.001)
        assert await ask(server, client, 0.05) == Fault(True, "no_free_connection")
        assert await first == Fault(False, "timed_out")
        assert len(server.requests) == 1
    client.close()


async def test_a_call_stopped_right_before_its_first_byte_leaves_its_connection_to_the_next() -> None:
    client = HttpClient(1)
    async with serving(saying(OK)) as server:
        for _ in range(2):  # on a new connection, on a kept one
            assert await client.exchange(server.call(), 5.0, lambda: None) == Fault(True, "stopped")
        assert server.requests == []
        latest = replace(server.call(), body=b"the latest")
        assert isinstance(await client.exchange(server.call(), 5.0, lambda: latest), Reply)
        assert (server.connections, server.requests[0][-10:]) == (1, b"the latest")
    client.close()


async def test_a_call_with_no_time_left_is_not_made() -> None:
    async with serving(saying(OK)) as server:
        client = HttpClient(1)
        assert isinstance(await ask(server, client), Reply)
        for timeout_s in (0.0, -1.0):
            assert await ask(server, client, timeout_s) == Fault(True, "no_time_left")
        assert len(server.requests) == 1
        client.close()


@pytest.mark.parametrize("header", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "ü"])
async def test_a_header_that_would_break_out_of_its_line_is_refused(header: str) -> None:
    async with serving(saying(OK)) as server:
        call = Call("POST", f"http://127.0.0.1:{server.port}/", {"Authorization": header}, b"", 1.0)
        assert await HttpClient(1).exchange(call, 1.0) == Fault(True, "request_malformed")
        assert server.connections == 0


async def test_a_closed_client_keeps_no_connection() -> None:
    client = HttpClient(2)
    ended = asyncio.Event()

    async def slowly(_: Server, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)
        ended.set()

    async with serving(slowly) as server:
        task = asyncio.create_task(ask(server, client))
        while not server.requests:
            await asyncio.sleep(0.001)
        client.close()
        assert isinstance(await task, Reply)
        assert not any(client._idle.values())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and its key, in one file."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


async def test_over_tls_a_connection_is_kept_as_well_and_the_certificate_is_checked(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = HttpClient(1, ssl.create_default_context(cafile=certificate))
    async with serving(saying(OK), context) as server:
        call = Call("POST", f"https://localhost:{server.port}/", {}, b"", 5.0)
        for _ in range(5):
            assert isinstance(await trusting.exchange(call, 5.0), Reply)
            await asyncio.sleep(0.01)
        assert (server.connections, len(server.requests)) == (1, 5)
        assert await HttpClient(1).exchange(call, 5.0) == Fault(True, "tls_failed")
        elsewhere = Call("POST", f"https://127.0.0.1:{server.port}/", {}, b"", 5.0)
        assert await trusting.exchange(elsewhere, 5.0) == Fault(True, "tls_failed")
        assert len(server.requests) == 5
    trusting.close()
