"""The door to providers, against the provider sandbox in its own process: what it answers, and what its ledger saw."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agents.provider import Kind, Message, Provider, Result, Sent, discover
from agents.transport import Transport
from schemas.vocabulary import MessageClass

PARTS = {"title": "Hello", "subject": "Hello", "body": "Your code is 424242"}
ADDRESSES = {"sms": "+15551234567", "email": "bob@example.org", "push": "device-4711"}


@dataclass
class Sandbox:
    url: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b"null")

    def behave(self, provider: str, **rule: object) -> None:
        self.ask("POST", "/admin/behave", {"provider": provider, "rules": [rule]})

    def read(self, ref: str) -> list[dict[str, Any]]:
        """The requests of one message that were read to their end."""
        return [row for row in self.ask("GET", "/admin/ledger?since=0")["rows"] if row["ref"] == ref]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "deploy.sandbox", "--port", str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield Sandbox(f"http://127.0.0.1:{port}")
    process.terminate()
    process.wait(5)
    process.stdout.close()


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.ask("DELETE", "/admin/behave")
    return running


@pytest.fixture(scope="module")
def pem() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def providers(sandbox: Sandbox, pem: str) -> dict[str, Provider]:
    return discover({
        "CARILLON_TWILIO_URL": f"{sandbox.url}/twilio",
        "CARILLON_TWILIO_ACCOUNT": "AC1",
        "CARILLON_TWILIO_KEY": "SK1",
        "CARILLON_TWILIO_SECRET": "twilio-secret",
        "CARILLON_TWILIO_FROM": "+15005550006",
        "CARILLON_TWILIO_CALLBACK_URL": "https://carillon.example/twilio",
        "CARILLON_SENDGRID_URL": f"{sandbox.url}/sendgrid",
        "CARILLON_SENDGRID_KEY": "SG.sendgrid-secret",
        "CARILLON_SENDGRID_FROM": "news@carillon.example",
        "CARILLON_FCM_URL": f"{sandbox.url}/fcm",
        "CARILLON_FCM_TOKEN_URL": f"{sandbox.url}/oauth/token",
        "CARILLON_FCM_PROJECT": "shop-1",
        "CARILLON_FCM_ACCOUNT": "carillon@shop-1.example",
        "CARILLON_FCM_KEY": pem,
    })  # fmt: skip


@pytest.fixture
async def transport(providers: dict[str, Provider]) -> AsyncIterator[Transport]:
    transport = Transport(providers.values())
    await transport.start()
    yield transport
    await transport.stop()


def a_message(channel: str, ref: str, **changed: Any) -> Message:
    usual = Message(
        ref, channel, ADDRESSES[channel], PARTS, MessageClass.OTP, 300.0, int(time.time()) + 300, "collapse"
    )
    return replace(usual, **changed)


async def sent(transport: Transport, provider: Provider, message: Message) -> Result:
    return await transport.send(provider, message, lambda: message)


@pytest.mark.parametrize("channel", ADDRESSES)
async def test_a_message_is_accepted_once(
    channel: str, sandbox: Sandbox, transport: Transport, providers: dict[str, Provider]
) -> None:
    ref = f"once.{channel}.1"
    result = await sent(transport, providers[channel], a_message(channel, ref))
    assert (result.kind, result.sent) == (Kind.ACCEPTED, Sent.YES)
    assert result.message_id
    assert [row["accepted"] for row in sandbox.read(ref)] == [True]


# What the provider does, what we make of it, and how many requests it read to their end.
FAULTS = [
    ("hang", Kind.AMBIGUOUS, "timed_out", 1),
    ("accept_then_hang", Kind.AMBIGUOUS, "timed_out", 1),
    ("reset_before_read", Kind.AMBIGUOUS, "connection_lost", 0),
    ("reset_after_read", Kind.AMBIGUOUS, "connection_lost", 1),
    ("accept_then_reset", Kind.AMBIGUOUS, "connection_lost", 1),
    ("html_502", Kind.AMBIGUOUS, "provider_error", 1),
    ("drip", Kind.AMBIGUOUS, "timed_out", 1),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
@pytest.mark.parametrize("channel", ADDRESSES)
async def test_whatever_a_provider_does_it_gets_one_request_and_we_say_what_we_know(
    channel: str,
    fault: tuple[str, Kind, str, int],
    sandbox: Sandbox,
    transport: Transport,
    providers: dict[str, Provider],
) -> None:
    then, kind, reason, reads = fault
    provider = providers[channel]
    await sent(transport, provider, a_message(channel, "warm-up.1"))  # a kept connection is the harder case
    sandbox.behave(provider.name, then=then)
    ref = f"{then}.{channel}.1"
    began = time.monotonic()
    result = await sent(transport, provider, a_message(channel, ref, ttl_s=0.4))
    assert (result.kind, result.reason) == (kind, reason)
    assert time.monotonic() - began < 1
    await asyncio.sleep(0.05)
    assert len(sandbox.read(ref)) == reads


@pytest.mark.parametrize("channel", ADDRESSES)
async def test_a_provider_that_is_not_there_certainly_got_nothing(
    channel: str, providers: dict[str, Provider], unused_tcp_port: int
) -> None:
    nowhere = replace(providers[channel], url=f"http://127.0.0.1:{unused_tcp_port}")  # type: ignore[type-var]
    transport = Transport([nowhere])
    await transport.start()
    result = await sent(transport, nowhere, a_message(channel, "nowhere.1"))
    assert (result.kind, result.sent, result.reason) == (Kind.UNAVAILABLE, Sent.NO, "connect_failed")
    await transport.stop()


async def test_the_sandboxs_presets_read_as_their_tables_say(
    sandbox: Sandbox, transport: Transport, providers: dict[str, Provider]
) -> None:
    expected = {
        ("sms", "twilio_20429"): Kind.THROTTLED,
        ("sms", "twilio_20500"): Kind.AMBIGUOUS,
        ("sms", "twilio_21610"): Kind.OPTED_OUT,
        ("email", "sendgrid_429_epoch"): Kind.THROTTLED,
        ("email", "sendgrid_429_delta"): Kind.THROTTLED,
        ("email", "sendgrid_400_address"): Kind.REJECTED_RECIPIENT,
        ("email", "sendgrid_401_credits"): Kind.MISCONFIGURED,
        ("push", "fcm_429"): Kind.THROTTLED,
        ("push", "fcm_unregistered"): Kind.REJECTED_RECIPIENT,
        ("push", "fcm_503_retry_after"): Kind.AMBIGUOUS,
    }
    found: dict[tuple[str, str], Result] = {}
    for channel, preset in expected:
        sandbox.behave(providers[channel].name, then=preset)
        found[channel, preset] = await sent(transport, providers[channel], a_message(channel, f"{preset}.1"))
    assert {key: result.kind for key, result in found.items()} == expected
    for preset in ("sendgrid_429_epoch", "sendgrid_429_delta"):
        assert found["email", preset].retry_after_s == pytest.approx(2, abs=1.1)


async def test_a_deadline_cuts_the_call_short(
    sandbox: Sandbox, transport: Transport, providers: dict[str, Provider]
) -> None:
    sandbox.behave("twilio", then="hang")
    began = time.monotonic()
    result = await sent(transport, providers["sms"], a_message("sms", "deadline.1", ttl_s=0.1))
    assert result.sent is Sent.MAYBE
    assert time.monotonic() - began < 0.5
    late = await sent(transport, providers["sms"], a_message("sms", "late.1", ttl_s=0.0))
    assert (late.kind, late.reason) == (Kind.UNAVAILABLE, "no_time_left")
    assert sandbox.read("late.1") == []


async def test_a_message_that_cannot_be_written_down_is_our_fault_and_no_call(
    sandbox: Sandbox, transport: Transport, providers: dict[str, Provider]
) -> None:
    for parts in ({}, {"body": "\ud800", "subject": 1, "title": b""}):
        result = await sent(transport, providers["sms"], a_message("sms", "unfit.1", parts=parts))
        assert (result.kind, result.reason) == (Kind.REJECTED_REQUEST, "message_unfit")
    assert sandbox.read("unfit.1") == []


async def test_no_log_at_debug_holds_an_address_a_text_or_a_secret(
    sandbox: Sandbox,
    transport: Transport,
    providers: dict[str, Provider],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    for channel in ADDRESSES:
        for then in ("ok", "reset_after_read", "html_502"):
            sandbox.behave(providers[channel].name, then=then)
            await sent(transport, providers[channel], a_message(channel, f"quiet.{channel}.1"))
    written = caplog.text + "".join(capfd.readouterr())
    for private in (*ADDRESSES.values(), "424242", "twilio-secret", "sendgrid-secret", "PRIVATE KEY", "Bearer"):
        assert private not in written


async def test_a_refused_token_is_replaced_for_the_next_call_without_a_second_send(
    sandbox: Sandbox, providers: dict[str, Provider]
) -> None:
    ahead_s = 0.0
    transport = Transport([providers["push"]], clock=lambda: time.monotonic() + ahead_s)
    await transport.start()
    await sent(transport, providers["push"], a_message("push", "before.1"))
    ahead_s = 60.0
    sandbox.behave("fcm", then="fcm_unauthenticated")
    refused = await sent(transport, providers["push"], a_message("push", "refused.1"))
    again = await sent(transport, providers["push"], a_message("push", "again.1"))
    sandbox.ask("DELETE", "/admin/behave")
    after = await sent(transport, providers["push"], a_message("push", "after.1"))
    assert (refused.kind, refused.reason) == (Kind.UNAVAILABLE, "token_expired")
    assert again.kind is Kind.MISCONFIGURED, "a token as fresh as that is not what is wrong"
    assert after.kind is Kind.ACCEPTED
    assert len(sandbox.read("refused.1")) == 1
    await transport.stop()


async def test_without_a_token_no_message_is_sent(sandbox: Sandbox, providers: dict[str, Provider]) -> None:
    sandbox.behave("oauth", then="oauth_invalid_grant")
    transport = Transport([providers["push"]])
    await transport.start()
    result = await sent(transport, providers["push"], a_message("push", "tokenless.1"))
    assert (result.kind, result.reason) == (Kind.MISCONFIGURED, "token_refused")
    assert sandbox.read("tokenless.1") == []
    await transport.stop()
