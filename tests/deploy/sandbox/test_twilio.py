from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from deploy.sandbox.twilio import segments

ACCOUNT = "AC00000000000000000000000000000001"


@pytest.fixture
def client(box):
    client = Client(ACCOUNT, "secret")
    client.api.base_url = f"{box.url}/twilio"
    yield client
    client.http_client.session.close()


def create(client, **changes):
    return client.messages.create(**{"to": "+15551234567", "from_": "+15550001111", "body": "hello there", **changes})


def test_the_sdk_takes_the_answer_for_a_queued_message(client):
    message = create(client)
    assert message.sid.startswith("SM")
    assert len(message.sid) == 34
    assert (message.status, message.num_segments, message.error_code) == ("queued", "1", None)
    assert (message.to, message.from_, message.body) == ("+15551234567", "+15550001111", "hello there")
    assert message.date_created is not None


def test_a_messaging_service_accepts_before_it_picks_a_sender(client):
    message = create(client, from_=None, messaging_service_sid="MG1")
    assert (message.status, message.num_segments, message.from_) == ("accepted", "0", None)


def test_two_messages_have_two_sids(client):
    assert create(client).sid != create(client).sid


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ""}, 21604),
        ({"from_": None}, 21603),
        ({"body": None}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"to": "12345"}, 21211),
        ({"from_": "not a sender!"}, 21212),
        ({"to": "+15005550001"}, 21211),
        ({"to": "+15005550002"}, 21612),
        ({"to": "+15005550003"}, 21408),
        ({"to": "+15005550004"}, 21610),
        ({"to": "+15005550009"}, 21614),
        ({"from_": "+15005550001"}, 21212),
        ({"from_": "+15005550007"}, 21606),
    ],
)
def test_the_sdk_raises_twilios_code(client, changes, code):
    with pytest.raises(TwilioRestException) as raised:
        create(client, **changes)
    assert (raised.value.code, raised.value.status) == (code, 400)


def test_a_full_sender_queue_is_429_with_21611(client):
    with pytest.raises(TwilioRestException) as raised:
        create(client, from_="+15005550008")
    assert (raised.value.code, raised.value.status) == (21611, 429)


def test_the_good_magic_sender_sends(client):
    assert create(client, from_="+15005550006").sid


def test_1600_characters_of_any_width_are_not_too_long(client):
    assert create(client, body="ü" * 1600).sid


def test_another_accounts_credentials_are_refused(box):
    reply = box.sms(user="AC00000000000000000000000000000002")
    assert (reply.status, reply.json()["code"]) == (401, 20003)


def test_an_api_key_is_let_in(box):
    assert box.sms(user="SK1").status == 201


def test_no_credentials_are_refused(box):
    path = f"/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert box.call("POST", path, b"To=1").json()["code"] == 20003
    assert box.call("POST", path, b"To=1", {"Authorization": "Basic ?"}).json()["code"] == 20003
    no_secret = {"Authorization": "Basic " + base64.b64encode(f"{ACCOUNT}:".encode()).decode()}
    assert box.call("POST", path, b"To=1", no_secret).json()["code"] == 20003


def test_a_wrong_path_or_method_is_named_in_twilios_shape(box):
    assert box.sms(path="/twilio/2010-04-01/Messages.json").json()["code"] == 20404
    assert box.call("GET", f"/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json").json()["code"] == 20004


def test_the_row_names_hashes_and_our_reference_and_nothing_raw(box):
    since = box.total()
    sid = box.sms(StatusCallback="https://hooks.example.com/cb?a=1&ref=n-1%2F2#end").json()["sid"]
    (row,) = box.rows(since)
    assert row["to_hash"] == sha256(b"+15551234567").hexdigest()
    assert row["body_hash"] == sha256(b"Your code is 123456").hexdigest()
    assert (row["provider"], row["channel"], row["ref"]) == ("twilio", "sms", "n-1/2")
    assert (row["answer"], row["accepted"], row["id"]) == ("201", True, sid)
    assert "5551234567" not in str(row)
    assert "123456" not in str({**row, "t": 0, "t_mono": 0, "to_hash": "", "body_hash": "", "id": ""})


def test_a_refused_message_is_in_the_ledger_as_not_accepted(box):
    since = box.total()
    box.sms(To="+15005550004")
    (row,) = box.rows(since)
    assert (row["answer"], row["accepted"], row["id"], row["ref"]) == ("400", False, None, None)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_segments_are_counted_in_septets_or_utf16_units(text, count):
    assert segments(text) == count
