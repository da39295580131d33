"""SMS by Twilio Programmable Messaging.

Twilio has no idempotency key: a 429 was certainly not processed, a 5xx perhaps was (its error pages 20429 and 20500).
Our reference travels in the address of the status callback, and so comes back with every receipt.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote_plus, urlencode

from msgspec.json import decode

from agents.provider import Call, Fault, Kind, Message, Provider, Reply, Result, Ruling
from agents.provider_reading import by_fault, by_table
from agents.provider_settings import Secret
from schemas.vocabulary import MessageClass

LONGEST_VALIDITY_S = 36_000
"""The most that ValidityPeriod takes, and what it is when absent."""

_DEAD = Ruling(Kind.REJECTED_RECIPIENT, "dead_number", suppress=True)
_BAD_REQUEST = Ruling(Kind.REJECTED_REQUEST, "request_refused")
_BAD_SENDER = Ruling(Kind.MISCONFIGURED, "bad_sender")
_BAD_REGION = Ruling(Kind.MISCONFIGURED, "wrong_region")
_NOT_THERE = Ruling(Kind.MISCONFIGURED, "destination_not_permitted", destination=True)

CODES: Mapping[str, Ruling] = MappingProxyType({
    "20003": Ruling(Kind.MISCONFIGURED, "bad_credentials"),
    "20005": Ruling(Kind.MISCONFIGURED, "account_suspended"),
    "20429": Ruling(Kind.THROTTLED, "throttled"),
    "21211": _DEAD,
    "21212": _BAD_SENDER,
    "21217": _DEAD,
    "21408": _NOT_THERE,
    "21602": _BAD_REQUEST,
    "21604": _BAD_REQUEST,
    "21606": _BAD_SENDER,
    "21608": _NOT_THERE,
    "21610": Ruling(Kind.OPTED_OUT, "opted_out", suppress=True),
    "21611": Ruling(Kind.THROTTLED, "sender_queue_full"),
    "21612": Ruling(Kind.REJECTED_REQUEST, "no_route", destination=True),
    "21614": _DEAD,
    "21617": Ruling(Kind.REJECTED_REQUEST, "text_too_long"),
    "21619": _BAD_REQUEST,
    "21620": _BAD_REQUEST,
    "21635": _DEAD,
    "21655": _BAD_REQUEST,
    "21656": _BAD_REQUEST,
    "21657": _BAD_REQUEST,
    "21658": _BAD_REQUEST,
    "21659": _BAD_REQUEST,
    "21660": _BAD_SENDER,
    "21661": _BAD_SENDER,
    "21663": _BAD_REGION,
    "21668": _BAD_REGION,
    "21670": _BAD_REGION,
})  # fmt: skip
"""Twilio's error dictionary (twilio.com/docs/api/errors), as far as it answers a send."""


@dataclass(frozen=True)
class Twilio(Provider):
    """`key` and `secret` are an API key; `from_` is a number, or a Messaging Service by its id (MG...)."""

    name: ClassVar[str] = "twilio"
    channel: ClassVar[str] = "sms"

    account: str
    key: str
    secret: Secret
    from_: str
    url: str = "https://api.twilio.com"
    callback_url: str = ""
    window: int = 50

    def call(self, message: Message, token: str | None = None) -> Call:
        form = (
            f"To={quote_plus(message.address)}&Body={quote_plus(message.parts['body'])}"
            f"&ValidityPeriod={min(max(int(message.ttl_s), 1), LONGEST_VALIDITY_S)}&{self._constant_fields}"
        )
        if self.callback_url:
            form += quote_plus(quote_plus(message.ref))
        timeout_s = 3.0 if message.message_class is MessageClass.OTP else 5.0
        return Call("POST", self._endpoint, self._headers, form.encode(), timeout_s)

    def read(self, reply: Reply | Fault) -> Result:
        if isinstance(reply, Fault):
            return by_fault(self.name, reply)
        answer = _parsed(reply.body)
        code, sid = answer.get("code"), answer.get("sid")
        return by_table(
            self.name,
            CODES,
            str(code) if isinstance(code, int) and 10_000 <= code <= 99_999 else "",
            reply,
            sid if isinstance(sid, str) else "",
        )

    @cached_property
    def _endpoint(self) -> str:
        return f"{self.url}/2010-04-01/Accounts/{self.account}/Messages.json"

    @cached_property
    def _constant_fields(self) -> str:
        """Encoded once; the callback's address comes last, for our reference to be added to it."""
        sender = "MessagingServiceSid" if self.from_.startswith("MG") else "From"
        callback = {"StatusCallback": f"{self.callback_url}?ref="} if self.callback_url else {}
        return urlencode({sender: self.from_, **callback})

    @cached_property
    def _headers(self) -> Mapping[str, str]:
        pair = b64encode(f"{self.key}:{self.secret.reveal()}".encode()).decode()
        return {
            "Authorization": f"Basic {pair}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }


def _parsed(body: bytes) -> dict[str, object]:
    try:
        answer = decode(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


PROVIDER = Twilio
