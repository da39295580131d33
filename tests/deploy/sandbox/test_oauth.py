from __future__ import annotations

import base64
import json
import time
from urllib.parse import urlencode

import firebase_admin
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from firebase_admin import credentials, messaging

from deploy.sandbox.oauth import Tokens

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def assertion(alg="RS256", **changes):
    now = int(time.time())
    claims = {"iss": "me@demo", "aud": "here", "scope": SCOPE, "iat": now, "exp": now + 3600, **changes}
    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims)}.c2ln"


def ask(box, jwt, grant=GRANT):
    return box.call("POST", "/oauth/token", urlencode({"grant_type": grant, "assertion": jwt}).encode())


def test_a_sound_assertion_gets_a_token_and_no_ledger_row(box):
    since = box.total()
    grant = ask(box, assertion()).json()
    assert (grant["expires_in"], grant["token_type"]) == (3599, "Bearer")
    assert Tokens(60).good(grant["access_token"].encode())
    assert box.rows(since) == []


def test_the_lifetime_is_the_operators(start):
    grant = ask(start("--token-lifetime", "7"), assertion()).json()
    assert grant["expires_in"] == 7


@pytest.mark.parametrize(
    ("jwt", "error"),
    [
        ("", "invalid_grant"),
        ("a.b", "invalid_grant"),
        ("a.b.c", "invalid_grant"),
        (assertion().rpartition(".")[0] + ".", "invalid_grant"),
        (assertion(alg="HS256"), "invalid_grant"),
        (assertion(iss=""), "invalid_grant"),
        (assertion(aud=None), "invalid_grant"),
        (assertion(exp=None), "invalid_grant"),
        (assertion(exp=1), "invalid_grant"),
        (assertion(iat=int(time.time()) + 1000), "invalid_grant"),
        (assertion(exp=int(time.time()) + 7200), "invalid_grant"),
        (assertion(scope="email"), "invalid_scope"),
    ],
)
def test_an_unsound_assertion_is_refused_by_name(box, jwt, error):
    reply = ask(box, jwt)
    assert (reply.status, reply.json()["error"]) == (400, error)
    assert reply.json()["error_description"]


def test_grant_path_and_method_are_checked(box):
    assert ask(box, assertion(), "password").json()["error"] == "unsupported_grant_type"
    assert box.call("POST", "/oauth/other").status == 404
    assert box.call("GET", "/oauth/token").status == 405


def test_a_token_outlives_the_sandbox_that_issued_it(start):
    token = ask(start(), assertion()).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = json.dumps({"message": {"token": "device-1"}}).encode()
    assert start().call("POST", "/fcm/v1/projects/demo/messages:send", body, headers).status == 200


@pytest.fixture
def firebase(box, monkeypatch):
    """The SDK, its token and send addresses turned to the sandbox."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": "demo",
        "private_key": pem,
        "private_key_id": "1",
        "client_email": "me@demo.example.com",
        "token_uri": f"{box.url}/oauth/token",
    }
    service = messaging._MessagingService
    monkeypatch.setattr(service, "FCM_URL", f"{box.url}/fcm/v1/projects/{{0}}/messages:send")
    app = firebase_admin.initialize_app(credentials.Certificate(account), name="sandbox-test")
    yield app
    firebase_admin.delete_app(app)


@pytest.mark.filterwarnings("ignore:.*deprecated.*:DeprecationWarning")
def test_the_firebase_sdk_fetches_a_token_and_reads_our_answers(firebase):
    def send(device):
        note = messaging.Notification(title="t", body="b")
        return messaging.send(messaging.Message(token=device, notification=note), app=firebase)

    assert send("device-1").startswith("projects/demo/messages/")
    with pytest.raises(messaging.UnregisteredError):
        send("unregistered-1")
    with pytest.raises(messaging.SenderIdMismatchError):
        send("mismatch-1")
    with pytest.raises(firebase_admin.exceptions.InvalidArgumentError):
        send("invalid-1")
