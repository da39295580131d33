"""FCM HTTP v1: POST /fcm/v1/projects/{project}/messages:send.

Shapes and codes as in Google's reference of the v1 API and its page of FCM error codes. Device tokens speak for
themselves: `unregistered-...` is gone (404), `invalid-...` malformed (400), `mismatch-...` of another sender (403).
"""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import orjson

from deploy.sandbox.exchange import Answer, Message, Request, digest
from deploy.sandbox.oauth import Tokens

_PATH = re.compile(rb"/fcm/v1/projects/([^/]+)/messages:send")
_TARGETS = ("token", "fid", "topic", "condition")
_PAYLOAD_MAX = 4096  # bytes of notification and data
_TTL = re.compile(r"\d{1,7}(\.\d{1,9})?s")
_TTL_MAX = 2_419_200  # seconds
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"

# HTTP status -> (gRPC name, FCM's errorCode if it gives one, words)
_USUAL: dict[int, tuple[str, str | None, str]] = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: (
        "UNAUTHENTICATED",
        None,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential.",
    ),
    403: ("PERMISSION_DENIED", None, "The caller does not have permission"),
    404: ("NOT_FOUND", "UNREGISTERED", "Requested entity was not found."),
    405: ("UNIMPLEMENTED", None, "Method not allowed."),
    429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded for quota metric 'Messages' of the project."),
    500: ("INTERNAL", "INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
}
_DEVICES = {
    "unregistered-": (404, "UNREGISTERED", "Requested entity was not found."),
    "invalid-": (400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"),
    "mismatch-": (403, "SENDER_ID_MISMATCH", "SenderId mismatch"),
}


class Fcm:
    name = "fcm"
    channel = "push"

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._run = os.urandom(8).hex()
        self._count = itertools.count(1)

    def read(self, request: Request) -> Message:
        try:
            call = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            call = None
        message = _object(_object(call).get("message"))
        seen = _seen(message)
        path = _PATH.fullmatch(request.path)
        if path is None:
            return Message(_error(404, None, f"Requested path was not found: {request.path.decode('latin-1')}"))
        if refusal := self._refuse(request, message):
            return Message(refusal, None, *seen)
        project = path[1].decode("latin-1")
        if _object(call).get("validate_only") is True:
            return Message(_named(f"projects/{project}/messages/fake_message_id"), None, *seen)
        name = f"projects/{project}/messages/0:{self._run}{next(self._count):012x}"
        return Message(_named(name), name, *seen)

    def fault(self, status: int, code: str | None = None, message: str | None = None) -> Answer:
        """`code` is FCM's own errorCode, in `details`."""
        return _error(status, code or _USUAL.get(status, ("", None, ""))[1], message)

    def _refuse(self, request: Request, message: dict[str, Any]) -> Answer | None:
        if request.method != b"POST":
            return _error(405, None)
        scheme, _, token = request.authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not self._tokens.good(token):
            refusal = _error(401, None)
            return refusal._replace(headers=b'WWW-Authenticate: Bearer realm="https://accounts.google.com/"\r\n')
        return _check(message, len(request.body)) or _check_options(message)


def _named(name: str) -> Answer:
    return Answer(200, orjson.dumps({"name": name}))


def _error(status: int, code: str | None, message: str | None = None, field: str | None = None) -> Answer:
    name, _, words = _USUAL.get(status, ("UNKNOWN", None, "An error occurred."))
    error: dict[str, Any] = {"code": status, "message": message or words, "status": name}
    details: list[dict[str, Any]] = []
    if code:
        details.append({"@type": _FCM_ERROR, "errorCode": code})
    if field:
        violation = {"field": field, "description": message or words}
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [violation]})
    if details:
        error["details"] = details
    return Answer(status, orjson.dumps({"error": error}))


def _invalid(message: str, field: str) -> Answer:
    return _error(400, "INVALID_ARGUMENT", message, field)


def _check(message: dict[str, Any], size: int) -> Answer | None:
    """`size` in bytes, of the whole request: only what exceeds the limit with its wrapping is measured closely."""
    targets = [kind for kind in _TARGETS if message.get(kind)]
    if len(targets) != 1:
        return _invalid("Exactly one of token, fid, topic or condition is required.", "message")
    data = message.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        return _invalid("Invalid value at 'message.data' (TYPE_STRING)", "message.data")
    if size > _PAYLOAD_MAX and len(orjson.dumps((message.get("notification"), data))) > _PAYLOAD_MAX:
        return _invalid("Message is too big: at most 4096 bytes.", "message")
    device = message[targets[0]]
    if not isinstance(device, str):
        return _invalid(f"Invalid value at 'message.{targets[0]}' (TYPE_STRING)", f"message.{targets[0]}")
    for prefix, (status, code, words) in _DEVICES.items():
        if device.startswith(prefix):
            return _error(status, code, words, "message.token" if code == "INVALID_ARGUMENT" else None)
    return None


def _check_options(message: dict[str, Any]) -> Answer | None:
    for platform in ("apns", "webpush"):
        headers = _object(message.get(platform)).get("headers", {})
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            where = f"message.{platform}.headers"
            return _invalid(f"Invalid value at '{where}' (TYPE_STRING)", where)
    ttl = _object(message.get("android")).get("ttl", "0s")
    if not isinstance(ttl, str) or not _TTL.fullmatch(ttl) or float(ttl[:-1]) > _TTL_MAX:
        return _invalid("Invalid value at 'message.android.ttl': from 0s to 2419200s", "message.android.ttl")
    return None


def _seen(message: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """(to_hash, body_hash, ref); the body is that of the notification, else `body` or `text` of the data."""
    to = next((message[kind] for kind in _TARGETS if isinstance(message.get(kind), str)), None)
    data = _object(message.get("data"))
    candidates = (_object(message.get("notification")).get("body"), data.get("body"), data.get("text"))
    body = next((text for text in candidates if isinstance(text, str)), None)
    ref = data.get("ref")
    return digest(to), digest(body), ref if isinstance(ref, str) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
