"""Twilio Programmable Messaging: POST /twilio/2010-04-01/Accounts/{sid}/Messages.json.

Shapes, codes and words as in Twilio's REST reference and error dictionary; the magic numbers are those of its test
credentials. Any account with any non-empty secret is let in, by its own SID or by an API key (SK...).
"""

from __future__ import annotations

import base64
import binascii
import itertools
import os
import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import NoReturn

import orjson

from deploy.sandbox.exchange import Answer, Message, Request, digest, parse_form

_PATH = re.compile(rb"/twilio/2010-04-01/Accounts/([^/]+)/Messages\.json")
_E164 = re.compile(rb"\+[1-9]\d{6,14}")
_SENDER = re.compile(rb"\+[1-9]\d{6,14}|\d{3,6}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
_BODY_MAX = 1600  # characters, Twilio's 21617

# GSM 03.38: the basic alphabet takes one septet a character, the extension two.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")

# code -> (HTTP status, words)
CODES: dict[int, tuple[int, str]] = {
    20001: (400, "Unknown parameters"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20005: (403, "Account is not active"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service is temporarily unavailable"),
    21211: (400, "The 'To' number {to} is not a valid phone number."),
    21212: (400, "The 'From' number {sender} is not a valid phone number, shortcode, or alphanumeric sender ID."),
    21408: (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {to}."),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number {sender} is not a valid, SMS-capable inbound phone number."),
    21608: (400, "The number {to} is unverified. Trial accounts cannot send messages to unverified numbers."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "Message cannot be sent with the current combination of 'To' ({to}) and 'From' ({sender}) parameters"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit."),
    21635: (400, "'To' number cannot be a landline"),
    21663: (400, "The sender is not available in this region"),
}
_USUAL = {400: 20001, 401: 20003, 403: 20005, 404: 20404, 405: 20004, 429: 20429, 500: 20500, 503: 20503}

_MAGIC_TO = {
    b"+15005550001": 21211,
    b"+15005550002": 21612,
    b"+15005550003": 21408,
    b"+15005550004": 21610,
    b"+15005550009": 21614,
}
_MAGIC_FROM = {b"+15005550001": 21212, b"+15005550007": 21606, b"+15005550008": 21611}


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Twilio:
    name = "twilio"
    channel = "sms"

    def __init__(self) -> None:
        self._run = os.urandom(8).hex()
        self._count = itertools.count(1)

    def read(self, request: Request) -> Message:
        form = parse_form(request.body)
        to, body = form.get(b"To"), form.get(b"Body")
        seen = digest(to), digest(body), _ref(form.get(b"StatusCallback"))
        try:
            account = _admit(request.method, request.path, request.authorization)
            _check(form)
        except _Refused as refused:
            return Message(_refusal(refused.code, to, form.get(b"From")), None, *seen)
        sid = f"SM{self._run}{next(self._count):016x}"
        return Message(Answer(201, orjson.dumps(_resource(sid, account, form))), sid, *seen)

    def fault(self, status: int, code: str | None = None, message: str | None = None) -> Answer:
        number = int(code) if code else _USUAL.get(status, status)
        words = message or CODES.get(number, (status, "An error occurred"))[1].format(to="", sender="")
        return _error(status, number, words)


def _error(status: int, code: int, message: str) -> Answer:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return Answer(status, orjson.dumps({"code": code, "message": message, "more_info": more_info, "status": status}))


def _refusal(code: int, to: bytes | None, sender: bytes | None) -> Answer:
    """Twilio's words echo the numbers of the request; so do ours, for the engine must redact them."""
    status, words = CODES[code]
    return _error(status, code, words.format(to=_text(to), sender=_text(sender)))


def _refuse(code: int) -> NoReturn:
    raise _Refused(code)


@lru_cache(maxsize=256)
def _admit(method: bytes, path: bytes, authorization: bytes) -> str:
    """The account that the path names."""
    found = _PATH.fullmatch(path)
    if found is None:
        _refuse(20404)
    if method != b"POST":
        _refuse(20004)
    user, secret = _credentials(authorization)
    account = found[1].decode("latin-1")
    if not secret or (user != account and not user.startswith("SK")):
        _refuse(20003)
    return account


def _credentials(authorization: bytes) -> tuple[str, str]:
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return "", ""
    try:
        user, _, secret = base64.b64decode(token, validate=True).decode("latin-1").partition(":")
    except binascii.Error:
        return "", ""
    return user, secret


def _check(form: dict[bytes, bytes]) -> None:
    to, sender, body = form.get(b"To"), form.get(b"From"), form.get(b"Body")
    if not to:
        _refuse(21604)
    if not sender and not form.get(b"MessagingServiceSid"):
        _refuse(21603)
    if not body and not form.get(b"MediaUrl") and not form.get(b"ContentSid"):
        _refuse(21602)
    if code := _MAGIC_TO.get(to) or _MAGIC_FROM.get(sender or b""):
        _refuse(code)
    if not _E164.fullmatch(to):
        _refuse(21211)
    if sender and not _SENDER.fullmatch(sender):
        _refuse(21212)
    if body and len(body) > _BODY_MAX and len(_text(body)) > _BODY_MAX:
        _refuse(21617)


def _resource(sid: str, account: str, form: dict[bytes, bytes]) -> dict[str, object]:
    service, sender = form.get(b"MessagingServiceSid"), form.get(b"From")
    text, now = _text(form.get(b"Body")), _date(int(time.time()))
    uri = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": text,
        "date_created": now,
        "date_sent": None,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": _text(sender) if sender else None,
        "messaging_service_sid": _text(service) if service else None,
        "num_media": "1" if b"MediaUrl" in form else "0",
        # A Messaging Service picks the sender later, and only then are segments counted.
        "num_segments": "0" if service and not sender else str(segments(text)),
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "accepted" if service else "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": _text(form[b"To"]),
        "uri": f"{uri}.json",
    }


def segments(text: str) -> int:
    """SMS segments: 160 septets or 70 UTF-16 units in one, 153 or 67 in each of several."""
    if _GSM.issuperset(text):
        units, one, each = len(text), 160, 153
    elif (_GSM | _GSM_TWICE).issuperset(text):
        units, one, each = len(text) + sum(character in _GSM_TWICE for character in text), 160, 153
    else:
        units, one, each = len(text.encode("utf-16-le", "surrogatepass")) // 2, 70, 67
    return 1 if units <= one else -(-units // each)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second).replace("-0000", "+0000")


def _ref(callback: bytes | None) -> str | None:
    """Our reference: the `ref` query parameter of the StatusCallback."""
    if not callback:
        return None
    ref = parse_form(callback.partition(b"#")[0].partition(b"?")[2]).get(b"ref")
    return ref.decode("utf-8", "replace") if ref is not None else None


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
