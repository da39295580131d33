import re
from collections.abc import Callable
from datetime import timedelta
from json import dumps, loads

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from firebase_admin import messaging

from agents.provider import Fault, Kind, Message, Reply, Sent
from agents.provider_settings import Secret
from agents.providers.fcm import CODES, Fcm
from schemas.vocabulary import MessageClass

OURS = Fcm("shop-1", "carillon@shop-1.iam.gserviceaccount.com", Secret("not read here"))

# HTTP status, error code, what it means, whether the device is to be suppressed.
ROWS = [
    (404, "UNREGISTERED", Kind.REJECTED_RECIPIENT, True),
    (403, "SENDER_ID_MISMATCH", Kind.REJECTED_RECIPIENT, True),
    (400, "INVALID_ARGUMENT", Kind.REJECTED_REQUEST, False),
    (400, "INVALID_ARGUMENT.token", Kind.REJECTED_RECIPIENT, True),
    (429, "QUOTA_EXCEEDED", Kind.THROTTLED, False),
    (429, "RESOURCE_EXHAUSTED", Kind.THROTTLED, False),
    (401, "THIRD_PARTY_AUTH_ERROR", Kind.MISCONFIGURED, False),
    (401, "UNAUTHENTICATED", Kind.MISCONFIGURED, False),
    (403, "PERMISSION_DENIED", Kind.MISCONFIGURED, False),
]
GRPC_NAMES = {"RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "PERMISSION_DENIED"}
"""Codes that come as the status of the error, not in its details."""


def error(status: int, code: str, **headers: str) -> Reply:
    bare, _, field = code.partition(".")
    details: list[dict[str, object]] = []
    if code not in GRPC_NAMES:
        details.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": bare})
    if field:
        violation = {"field": f"message.{field}", "description": "Invalid registration token"}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    name = code if code in GRPC_NAMES else "SOME_STATUS"
    body = {"error": {"code": status, "message": "tok-1 is bad", "status": name, "details": details}}
    return Reply(status, {key.replace("_", "-"): value for key, value in headers.items()}, dumps(body).encode())


@pytest.mark.parametrize(("status", "code", "kind", "suppress"), ROWS)
def test_each_code_means_what_google_says(status: int, code: str, kind: Kind, suppress: bool) -> None:
    result = OURS.read(error(status, code))
    assert (result.kind, result.suppress, result.sent, result.code) == (kind, suppress, Sent.NO, code)
    assert "tok-1" not in repr(result)


def test_no_row_of_the_table_goes_untested() -> None:
    assert {row[1] for row in ROWS} == set(CODES)


@pytest.mark.parametrize(("status", "code"), [(500, "INTERNAL"), (503, "UNAVAILABLE"), (502, "UNREGISTERED")])
def test_a_server_error_may_have_sent_and_waits_ten_seconds(status: int, code: str) -> None:
    result = OURS.read(error(status, code))
    assert (result.sent, result.retry_after_s) == (Sent.MAYBE, 10)


@pytest.mark.parametrize(("headers", "wait_s"), [({}, 60), ({"retry_after": "3"}, 10), ({"retry_after": "90"}, 90)])
def test_a_throttle_waits_a_minute_unless_told_and_never_less_than_ten_seconds(
    headers: dict[str, str], wait_s: float
) -> None:
    assert OURS.read(error(429, "QUOTA_EXCEEDED", **headers)).retry_after_s == wait_s


def test_a_call_without_an_answer_waits_ten_seconds_and_one_that_never_left_does_not() -> None:
    assert OURS.read(Fault(False, "timed_out")).retry_after_s == 10
    assert OURS.read(Fault(True, "connect_failed")).retry_after_s is None


ODD = [b'{"error": "text"}', b'{"error": {"status": 7}}', b'{"error": {"details": 1}}', b"[]"]


@pytest.mark.parametrize("body", ODD)
def test_an_error_of_another_shape_falls_back_to_the_status(body: bytes) -> None:
    assert OURS.read(Reply(404, {}, body)).kind is Kind.REJECTED_REQUEST
    assert OURS.read(Reply(401, {}, body)).kind is Kind.MISCONFIGURED


def test_a_status_that_is_no_name_of_an_error_is_not_taken_for_a_code() -> None:
    assert OURS.read(Reply(404, {}, b'{"error": {"status": "bob_example"}}')).code == ""


def test_an_accepted_push_gives_its_name() -> None:
    result = OURS.read(Reply(200, {}, b'{"name": "projects/shop-1/messages/0:1"}'))
    assert (result.kind, result.message_id) == (Kind.ACCEPTED, "projects/shop-1/messages/0:1")


@pytest.mark.filterwarnings("ignore:Message.token is deprecated")
@pytest.mark.parametrize("message_class", MessageClass)
def test_the_request_is_the_one_the_firebase_sdk_makes(
    message_class: MessageClass, a_message: Callable[..., Message]
) -> None:
    message = a_message(address="tok-1", message_class=message_class)
    marketing = message_class is MessageClass.MARKETING
    by_the_sdk = messaging.Message(
        token="tok-1",
        notification=messaging.Notification(message.parts["title"], message.parts["body"]),
        data={"ref": message.ref},
        android=messaging.AndroidConfig(
            collapse_key="order-7",
            priority="normal" if marketing else "high",
            ttl=timedelta(seconds=300),
            notification=messaging.AndroidNotification(tag="order-7"),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-collapse-id": "order-7",
                "apns-expiration": "1800000300",
                "apns-priority": "5" if marketing else "10",
            }
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": "300", "Topic": "order-7", "Urgency": "normal" if marketing else "high"}
        ),
    )
    call = OURS.call(message, "ya29.t")
    assert loads(call.body) == {"message": loads(str(by_the_sdk))}
    assert call.url == "https://fcm.googleapis.com/v1/projects/shop-1/messages:send"
    assert call.headers["Authorization"] == "Bearer ya29.t"


def lives(message: Message) -> tuple[str, str, str]:
    """How long FCM is to keep a message for Android, Apple and the web."""
    said = loads(OURS.call(message, "t").body)["message"]
    headers = said["apns"]["headers"]["apns-expiration"], said["webpush"]["headers"]["TTL"]
    return said["android"]["ttl"], *headers


def test_on_every_platform_a_message_ends_with_its_deadline_and_within_four_weeks(
    a_message: Callable[..., Message],
) -> None:
    now = 1_800_000_000
    assert lives(a_message(ttl_s=299.4, deadline_s=now + 299)) == ("299s", "1800000299", "299")
    assert lives(a_message(ttl_s=30.0 * 86_400, deadline_s=now + 1)) == ("2419200s", "1800000001", "2419200")


def test_with_less_than_a_second_left_it_is_now_or_never_on_every_platform(a_message: Callable[..., Message]) -> None:
    assert lives(a_message(ttl_s=0.9, deadline_s=1_800_000_000)) == ("0s", "0", "0")


def headers(message: Message, platform: str) -> dict[str, str]:
    found: dict[str, str] = loads(OURS.call(message, "t").body)["message"][platform]["headers"]
    return found


def test_a_collapse_key_too_long_for_apple_is_hashed_into_its_64_bytes(a_message: Callable[..., Message]) -> None:
    ids = [headers(a_message(collapse_key="é" * 40 + end), "apns")["apns-collapse-id"] for end in "ab"]
    assert ids[0] != ids[1]
    assert [len(each) for each in ids] == [64, 64]


@pytest.mark.parametrize("key", ["0b9f3a52-5d5e-5c1f-9e0a-7d1f4c1f2f1", "order 7", "ordér", "x" * 33, ""])
def test_a_collapse_key_that_is_no_topic_of_web_push_is_hashed_into_its_32_characters(
    key: str, a_message: Callable[..., Message]
) -> None:
    topics = {headers(a_message(collapse_key=key + end), "webpush")["Topic"] for end in ("\n", "+")}
    assert len(topics) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", topic) for topic in topics)


def test_the_credential_is_the_service_account_of_the_project(rsa_key: RSAPrivateKey) -> None:
    pem = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credential = Fcm("shop-1", "a@shop-1.example", Secret(pem), key_id="k1").credential()
    assert (credential.email, credential.key_id, credential.provider) == ("a@shop-1.example", "k1", "fcm")
    assert credential.token_url == "https://oauth2.googleapis.com/token"
