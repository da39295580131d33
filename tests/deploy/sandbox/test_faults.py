"""Each thing a rule can do, as a client meets it and as the ledger tells it."""

from __future__ import annotations

import asyncio
import base64
import http.client
import time
from hashlib import sha256

import aiohttp
import pytest

ACCOUNT = "AC00000000000000000000000000000001"
PATH = f"/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
FORM = {"To": "+15551234567", "From": "+15550001111", "Body": "hello", "StatusCallback": "http://us/cb?ref=n-9"}


def send_by_aiohttp(box, timeout=5.0):
    """(status, body) as the engine's own client library meets them."""

    async def send():
        headers = {"Authorization": "Basic " + base64.b64encode(f"{ACCOUNT}:secret".encode()).decode()}
        limit = aiohttp.ClientTimeout(total=timeout)
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers) as session,
            session.post(box.url + PATH, data=FORM) as answer,
        ):
            return answer.status, await answer.read()

    return asyncio.run(send())


def only_row(box, since):
    (row,) = box.rows(since)
    return row["answer"], row["accepted"]


@pytest.mark.parametrize(("then", "accepted"), [("hang", False), ("accept_then_hang", True)])
def test_a_hang_is_in_the_ledger_while_the_client_still_waits(box, then, accepted):
    box.behave("twilio", {"then": then})
    since = box.total()
    with pytest.raises(asyncio.TimeoutError):
        send_by_aiohttp(box, timeout=0.3)
    assert only_row(box, since) == (then, accepted)


@pytest.mark.parametrize(("then", "accepted"), [("reset_after_read", False), ("accept_then_reset", True)])
def test_a_reset_after_read_is_in_the_ledger(box, then, accepted):
    box.behave("twilio", {"then": then})
    since = box.total()
    with pytest.raises(ConnectionResetError) as raised:
        box.sms()
    assert raised.type is not http.client.RemoteDisconnected, "an orderly end is no reset"
    assert only_row(box, since) == (then, accepted)


def test_aiohttp_meets_a_reset_as_a_lost_connection_and_sends_once(box):
    box.behave("twilio", {"then": "accept_then_reset"})
    since = box.total()
    with pytest.raises(aiohttp.ClientConnectionError):
        send_by_aiohttp(box)
    assert len(box.rows(since)) == 1


def test_a_reset_before_read_comes_with_the_headers_and_leaves_no_row(box):
    box.behave("twilio", {"then": "reset_before_read", "times": 1})
    since, before = box.total(), box.admin("GET", "/admin/counts")["twilio"]
    with box.connect() as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nContent-Length: 99999\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    after = box.admin("GET", "/admin/counts")["twilio"]
    assert (box.total(), after["read"]) == (since, before["read"])
    assert after["answers"]["reset_before_read"] == before["answers"].get("reset_before_read", 0) + 1
    assert box.sms().status == 201


def test_a_latency_holds_the_answer_but_not_the_row(box):
    box.behave("twilio", {"latency_ms": 300})
    since, begun = box.total(), time.monotonic()
    status, _ = send_by_aiohttp(box)
    assert status == 201
    assert 0.3 <= time.monotonic() - begun < 1
    assert begun <= box.rows(since)[0]["t_mono"] < begun + 0.2


def test_a_drip_arrives_whole_in_pieces_over_its_time(box):
    box.behave("twilio", {"then": "drip", "over_ms": 500})
    since, begun = box.total(), time.monotonic()
    status, body = send_by_aiohttp(box)
    assert (status, body[-1:]) == (201, b"}")
    assert 0.4 <= time.monotonic() - begun < 1.5
    assert only_row(box, since) == ("drip", True)


def test_a_drip_outlasts_a_short_patience(box):
    box.behave("twilio", {"then": "drip", "over_ms": 3000})
    with pytest.raises(asyncio.TimeoutError):
        send_by_aiohttp(box, timeout=0.5)


def test_a_truncated_answer_has_its_status_and_not_its_whole_body(box):
    box.behave("twilio", {"then": "truncated"})
    since = box.total()
    with pytest.raises(aiohttp.ClientPayloadError):
        send_by_aiohttp(box)
    with pytest.raises(http.client.IncompleteRead) as raised:
        box.sms()
    assert raised.value.partial.startswith(b'{"account_sid"')
    assert [row["accepted"] for row in box.rows(since)] == [True, True]


def test_an_html_502_is_a_proxys_word(box):
    box.behave("twilio", {"then": "html_502"})
    since = box.total()
    reply = box.sms()
    assert (reply.status, reply.headers["Content-Type"]) == (502, "text/html")
    assert b"<h1>502 Bad Gateway</h1>" in reply.body
    assert only_row(box, since) == ("502", False)


def test_a_status_takes_the_providers_shape(box):
    box.behave("twilio", {"then": "status", "status": 503})
    assert (box.sms().status, box.sms().json()["code"]) == (503, 20503)
    box.behave("twilio", {"then": "status", "status": 400, "code": 21614})
    assert box.sms().json()["code"] == 21614


def test_a_status_takes_headers_and_a_body_as_given(box):
    headers = {"Retry-After": "3", "X-Until": {"epoch_in": 60}}
    box.behave("twilio", {"then": "status", "status": 429, "headers": headers, "body": {"slow": True}})
    reply = box.sms()
    assert (reply.headers["Retry-After"], reply.json()) == ("3", {"slow": True})
    assert 55 < int(reply.headers["X-Until"]) - time.time() < 61
    box.behave("twilio", {"then": "status", "status": 500, "body": "plain"})
    assert box.sms().body == b"plain"


def test_a_server_error_may_come_after_the_message_was_taken(box):
    box.behave("twilio", {"then": "status", "status": 500, "accepted": True})
    since = box.total()
    assert box.sms().status == 500
    assert only_row(box, since) == ("500", True)


def test_what_the_provider_would_refuse_is_never_accepted(box):
    box.behave("twilio", {"then": "accept_then_hang"})
    since = box.total()
    with pytest.raises(TimeoutError):
        box.sms(To="nobody", timeout=0.2)
    assert only_row(box, since) == ("accept_then_hang", False)


def test_a_rule_finds_its_message_by_reference_or_recipient(box):
    to_hash = sha256(b"+15557654321").hexdigest()
    box.behave(
        "twilio",
        {"match": {"ref": "n-5"}, "then": "twilio_20429"},
        {"match": {"to_hash": to_hash}, "then": "twilio_21610"},
    )
    assert box.sms(StatusCallback="http://us/?ref=n-5").status == 429
    assert box.sms(To="+15557654321").json()["code"] == 21610
    assert box.sms().status == 201


def test_one_providers_faults_are_not_anothers(box):
    box.behave("sendgrid", {"then": "hang"})
    assert box.sms().status == 201


def test_a_star_is_every_provider_that_carries_messages(box):
    box.behave("*", {"then": "status", "status": 503})
    assert box.sms().status == 503
    assert box.call("POST", "/sendgrid/v3/mail/send").status == 503
    assert box.call("POST", "/fcm/v1/projects/p/messages:send").status == 503
    assert box.call("POST", "/oauth/token").status == 400


def test_the_token_endpoint_has_a_script_of_its_own(box):
    box.behave("oauth", {"then": "hang"})
    with pytest.raises(TimeoutError):
        box.call("POST", "/oauth/token", timeout=0.2)
