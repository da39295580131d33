from __future__ import annotations

import json
import time

import pytest

from deploy.sandbox.oauth import Tokens
from deploy.sandbox.presets import PRESETS

MAIL = {
    "personalizations": [{"to": [{"email": "ann@example.com"}]}],
    "from": {"email": "us@example.com"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "Dear Ann"}],
}


@pytest.fixture
def send(box):
    """Send one good message to the named provider."""

    def sendgrid():
        headers = {"Authorization": "Bearer SG.test", "Content-Type": "application/json"}
        return box.call("POST", "/sendgrid/v3/mail/send", json.dumps(MAIL).encode(), headers)

    def fcm():
        headers = {"Authorization": f"Bearer {Tokens(60).issue()}"}
        body = json.dumps({"message": {"token": "device-1"}}).encode()
        return box.call("POST", "/fcm/v1/projects/demo/messages:send", body, headers)

    def oauth():
        return box.call("POST", "/oauth/token", b"")

    ways = {"twilio": box.sms, "sendgrid": sendgrid, "fcm": fcm, "oauth": oauth}
    return lambda provider: ways[provider]()


def code_of(provider, reply):
    value = reply.json()
    if provider == "twilio":
        assert value["status"] == reply.status
        assert value["more_info"].endswith(str(value["code"]))
        return str(value["code"])
    if provider == "sendgrid":
        return value["errors"][0]["field"]
    if provider == "oauth":
        return value["error"]
    assert value["error"]["code"] == reply.status
    return value["error"].get("details", [{}])[0].get("errorCode")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_answers_with_its_status_and_code_in_its_providers_shape(box, send, name):
    preset = PRESETS[name]
    box.behave(preset.provider, {"then": name, "times": 1})
    reply = send(preset.provider)
    assert reply.status == preset.status
    if preset.code:
        assert code_of(preset.provider, reply) == preset.code
    if preset.words:
        assert preset.words in reply.body.decode()
    assert set(preset.headers) <= set(reply.headers)


@pytest.mark.parametrize(
    ("name", "code", "grpc"),
    [
        ("fcm_429", "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"),
        ("fcm_503", "UNAVAILABLE", "UNAVAILABLE"),
        ("fcm_500", "INTERNAL", "INTERNAL"),
        ("fcm_unauthenticated", None, "UNAUTHENTICATED"),
        ("fcm_permission_denied", None, "PERMISSION_DENIED"),
    ],
)
def test_fcm_gives_the_grpc_name_with_its_own_code(box, send, name, code, grpc):
    box.behave("fcm", {"then": name})
    reply = send("fcm")
    assert (reply.json()["error"]["status"], code_of("fcm", reply)) == (grpc, code)


def test_sendgrids_reset_is_an_epoch_or_a_delta(box, send):
    box.behave("sendgrid", {"then": "sendgrid_429_epoch", "times": 1}, {"then": "sendgrid_429_delta"})
    assert 0 <= int(send("sendgrid").headers["X-RateLimit-Reset"]) - time.time() + 1 <= 3
    assert send("sendgrid").headers["X-RateLimit-Reset"] == "2"


def test_fcm_throttles_with_and_without_retry_after(box, send):
    box.behave("fcm", {"then": "fcm_429", "times": 1}, {"then": "fcm_429_retry_after"})
    assert "Retry-After" not in send("fcm").headers
    assert send("fcm").headers["Retry-After"] == "10"
