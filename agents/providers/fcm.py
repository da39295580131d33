"""Push by Firebase Cloud Messaging, HTTP v1: Android, iOS and web.

FCM has neither an idempotency key nor a delivery callback. A repeat replaces the first on the device through its
collapse key and tag, and the app can drop a second `data.ref`.

One request goes to whatever device the token is of, so expiry, urgency and collapsing are told once for each platform
(firebase.google.com/docs/cloud-messaging/customize-messages): without its expiry an OTP would be kept for four weeks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256, shake_128
from types import MappingProxyType
from typing import Any, ClassVar

from msgspec.json import decode, encode

from agents.provider import Call, Fault, Kind, Message, Provider, Reply, Result, Ruling
from agents.provider_reading import by_fault, by_table
from agents.provider_settings import Secret
from agents.service_account import ServiceAccount
from schemas.vocabulary import CLASSES, Lane

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
LONGEST_TTL_S = 2_419_200
"""28 days, FCM's limit for Android and the web."""
LEAST_WAIT_S, THROTTLED_S = 10.0, 60.0
"""No retry sooner than 10 s; a minute after a 429 that names no time (Firebase, "Best practices at scale")."""
COLLAPSE_ID_BYTES = 64
"""Apple's limit for apns-collapse-id."""
_TOPIC = re.compile(r"[\w-]{1,32}", re.ASCII)
"""A Topic of web push: 32 characters at most, of the base64 alphabet for URLs (RFC 8030, section 5.4)."""

CODES: Mapping[str, Ruling] = MappingProxyType({
    "UNREGISTERED": Ruling(Kind.REJECTED_RECIPIENT, "dead_device", suppress=True),
    "SENDER_ID_MISMATCH": Ruling(Kind.REJECTED_RECIPIENT, "device_of_other_project", suppress=True),
    "INVALID_ARGUMENT": Ruling(Kind.REJECTED_REQUEST, "request_refused"),
    "INVALID_ARGUMENT.token": Ruling(Kind.REJECTED_RECIPIENT, "bad_device", suppress=True),
    "QUOTA_EXCEEDED": Ruling(Kind.THROTTLED, "throttled"),
    "RESOURCE_EXHAUSTED": Ruling(Kind.THROTTLED, "throttled"),
    "THIRD_PARTY_AUTH_ERROR": Ruling(Kind.MISCONFIGURED, "bad_apple_or_web_key"),
    "UNAUTHENTICATED": Ruling(Kind.MISCONFIGURED, "bad_credentials"),
    "PERMISSION_DENIED": Ruling(Kind.MISCONFIGURED, "permission_denied"),
})  # fmt: skip
"""firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. A bad token and a bad payload are both INVALID_ARGUMENT:
only a field violation that names the token condemns the device."""


@dataclass(frozen=True)
class Fcm(Provider):
    """`account`, `key` and `key_id` are client_email, private_key and private_key_id of a service account's file."""

    name: ClassVar[str] = "fcm"
    channel: ClassVar[str] = "push"

    project: str
    account: str
    key: Secret
    key_id: str = ""
    url: str = "https://fcm.googleapis.com"
    token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 an address, not a token
    window: int = 200

    def call(self, message: Message, token: str | None) -> Call:
        body = {
            "message": {
                "token": message.address,
                "notification": {"title": message.parts["title"], "body": message.parts["body"]},
                "data": {"ref": message.ref},
                **_by_platform(message),
            }
        }
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return Call("POST", self._endpoint, headers, encode(body), timeout_s=10.0)

    def read(self, reply: Reply | Fault) -> Result:
        if isinstance(reply, Fault):
            result = by_fault(self.name, reply)
        else:
            code, message_id = _said(reply.body)
            result = by_table(self.name, CODES, code, reply, message_id)
        if result.kind not in (Kind.THROTTLED, Kind.AMBIGUOUS):
            return result
        wait_s = result.retry_after_s
        if wait_s is None:
            wait_s = THROTTLED_S if result.kind is Kind.THROTTLED else LEAST_WAIT_S
        return replace(result, retry_after_s=max(wait_s, LEAST_WAIT_S))

    def credential(self) -> ServiceAccount:
        return ServiceAccount(self.name, self.account, self.key, self.key_id, self.token_url, SCOPE)

    @cached_property
    def _endpoint(self) -> str:
        return f"{self.url}/v1/projects/{self.project}/messages:send"


def _by_platform(message: Message) -> dict[str, Any]:
    """How long, how urgently and in whose place, in the words of Android, Apple and web push."""
    ttl_s = min(max(int(message.ttl_s), 0), LONGEST_TTL_S)
    urgent = CLASSES[message.message_class].lane is Lane.HIGH
    priority, key = "high" if urgent else "normal", message.collapse_key
    apple = {
        "apns-collapse-id": _collapse_id(key),
        # 0 is now or never, as a ttl of 0 is elsewhere.
        "apns-expiration": str(message.deadline_s if ttl_s else 0),
        "apns-priority": "10" if urgent else "5",
    }
    return {
        "android": {"collapse_key": key, "priority": priority, "ttl": f"{ttl_s}s", "notification": {"tag": key}},
        "apns": {"headers": apple},
        "webpush": {"headers": {"TTL": str(ttl_s), "Topic": _topic(key), "Urgency": priority}},
    }


def _collapse_id(key: str) -> str:
    return key if len(key.encode()) <= COLLAPSE_ID_BYTES else sha256(key.encode()).hexdigest()


def _topic(key: str) -> str:
    return key if _TOPIC.fullmatch(key) else shake_128(key.encode()).hexdigest(16)


def _said(body: bytes) -> tuple[str, str]:
    """The error code and the message name of a reply, each "" if it is not there."""
    try:
        answer = decode(body)
        if "error" not in answer:
            return "", answer["name"] if isinstance(answer["name"], str) else ""
        error = answer["error"]
        details = error.get("details", ())
        code = next((each["errorCode"] for each in details if "errorCode" in each), error["status"])
        fields = [each["field"] for detail in details for each in detail.get("fieldViolations", ())]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""
    if code == "INVALID_ARGUMENT" and "message.token" in fields:
        return "INVALID_ARGUMENT.token", ""
    return (code, "") if isinstance(code, str) and code.isupper() and code.isidentifier() else ("", "")


PROVIDER = Fcm
