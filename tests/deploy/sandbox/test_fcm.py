from __future__ import annotations

import json
from hashlib import sha256

import pytest

from deploy.sandbox.oauth import Tokens

PATH = "/fcm/v1/projects/demo/messages:send"


def send(box, message, token=None, **call):
    headers = {"Authorization": f"Bearer {token or Tokens(60).issue()}", "Content-Type": "application/json"}
    body = message if isinstance(message, bytes) else json.dumps({"message": message, **call}).encode()
    return box.call("POST", PATH, body, headers)


def error_code(reply):
    details = reply.json()["error"].get("details", [])
    return next((detail["errorCode"] for detail in details if detail["@type"].endswith("FcmError")), None)


def test_a_message_gets_a_name_and_a_row(box):
    since = box.total()
    reply = send(box, {"token": "device-1", "notification": {"body": "hi"}, "data": {"ref": "n-3"}})
    assert reply.status == 200
    (row,) = box.rows(since)
    assert reply.json() == {"name": row["id"]}
    assert row["id"].startswith("projects/demo/messages/")
    assert (row["provider"], row["channel"], row["ref"], row["answer"]) == ("fcm", "push", "n-3", "200")
    assert row["to_hash"] == sha256(b"device-1").hexdigest()
    assert row["body_hash"] == sha256(b"hi").hexdigest()
    assert "device-1" not in str(row)


def test_a_data_message_is_known_by_its_text(box):
    since = box.total()
    send(box, {"fid": "device-2", "data": {"text": "hi"}})
    (row,) = box.rows(since)
    assert (row["to_hash"], row["body_hash"]) == (sha256(b"device-2").hexdigest(), sha256(b"hi").hexdigest())


def test_validate_only_sends_nothing(box):
    since = box.total()
    assert send(box, {"token": "device-1"}, validate_only=True).status == 200
    assert box.rows(since)[0]["accepted"] is False


@pytest.mark.parametrize(
    ("device", "status", "name", "code"),
    [
        ("unregistered-1", 404, "NOT_FOUND", "UNREGISTERED"),
        ("invalid-1", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("mismatch-1", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    ],
)
def test_devices_that_speak_for_themselves(box, device, status, name, code):
    reply = send(box, {"token": device})
    assert (reply.status, reply.json()["error"]["code"]) == (status, status)
    assert (reply.json()["error"]["status"], error_code(reply)) == (name, code)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({}, "message"),
        ({"token": "a", "topic": "b"}, "message"),
        ({"token": 5}, "message.token"),
        ({"token": "a", "data": {"n": 1}}, "message.data"),
        ({"token": "a", "data": {"n": "x" * 5000}}, "message"),
        ({"token": "a", "apns": {"headers": {"apns-expiration": 1_800_000_000}}}, "message.apns.headers"),
        ({"token": "a", "webpush": {"headers": ["TTL"]}}, "message.webpush.headers"),
        ({"token": "a", "android": {"ttl": 300}}, "message.android.ttl"),
        ({"token": "a", "android": {"ttl": "300"}}, "message.android.ttl"),
        ({"token": "a", "android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"token": "invalid-1"}, "message.token"),
        ("none", "message"),
    ],
)
def test_a_wrong_message_names_its_field(box, message, field):
    error = send(box, message).json()["error"]
    violations = [violation for detail in error["details"] for violation in detail.get("fieldViolations", [])]
    assert (error["status"], [violation["field"] for violation in violations]) == ("INVALID_ARGUMENT", [field])


def test_what_is_no_json_is_400(box):
    assert send(box, b"{").status == 400


@pytest.mark.parametrize("token", ["made-up", "ya29.fffffffffffff.aa.bb", "ya29"])
def test_a_token_that_was_not_issued_is_unauthenticated(box, token):
    reply = send(box, {"token": "device-1"}, token)
    assert (reply.status, reply.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_expired_token_is_unauthenticated(box):
    assert send(box, {"token": "device-1"}, Tokens(-1).issue()).status == 401


def test_path_and_method_are_checked(box):
    assert box.call("POST", "/fcm/v1/messages:send", b"{}").status == 404
    assert box.call("GET", PATH).status == 405
