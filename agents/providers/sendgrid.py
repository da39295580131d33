"""Email by SendGrid v3 Mail Send, one person a request.

One bad address refuses a whole request, so nothing is batched. There is no idempotency key; our reference travels in
custom_args and comes back with every event. Custom args are kept for long and cannot be erased: never a person there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote

from msgspec.json import encode

from agents.provider import Call, Fault, Kind, Message, Provider, Reply, Result, Ruling
from agents.provider_reading import bounded_s, by_fault, by_table
from agents.provider_settings import Secret
from schemas.vocabulary import MessageClass

THROTTLED_S = 5.0
"""The wait after a 429 that names none."""
EPOCH_ABOVE = 1e9
"""X-RateLimit-Reset is seconds left in one of SendGrid's documents and a Unix time in another."""

_UNFIT = Ruling(Kind.REJECTED_REQUEST, "request_refused")

CODES: Mapping[str, Ruling] = MappingProxyType({
    "400": _UNFIT,
    "400.to": Ruling(Kind.REJECTED_RECIPIENT, "dead_mailbox", suppress=True),
    "401": Ruling(Kind.MISCONFIGURED, "bad_credentials"),
    "401.credits": Ruling(Kind.MISCONFIGURED, "quota_spent"),
    "403": Ruling(Kind.MISCONFIGURED, "sender_not_verified"),
    "403.blocked": Ruling(Kind.MISCONFIGURED, "account_blocked"),
    "404": _UNFIT,
    "405": _UNFIT,
    "406": _UNFIT,
    "413": Ruling(Kind.REJECTED_REQUEST, "message_too_large"),
    "415": _UNFIT,
    "429": Ruling(Kind.THROTTLED, "throttled"),
})  # fmt: skip
"""SendGrid has no codes but the HTTP status (its page "responses"); what tells two causes apart is `_code`'s."""


@dataclass(frozen=True)
class SendGrid(Provider):
    """`key` is an API key; `url` is https://api.eu.sendgrid.com for a subuser of the European region."""

    name: ClassVar[str] = "sendgrid"
    channel: ClassVar[str] = "email"

    key: Secret
    from_: str
    from_name: str = ""
    url: str = "https://api.sendgrid.com"
    unsubscribe_url: str = ""
    window: int = 50

    def call(self, message: Message, token: str | None = None) -> Call:
        person: dict[str, object] = {"to": [{"email": message.address}], "custom_args": {"ref": message.ref}}
        if self.unsubscribe_url and message.message_class is MessageClass.MARKETING:
            person["headers"] = self._one_click(message.ref)
        kinds = {"text/plain": message.parts["body"], "text/html": message.parts.get("html")}
        mail = {
            "personalizations": [person],
            "from": self._sender,
            "subject": message.parts["subject"],
            "content": [{"type": kind, "value": text} for kind, text in kinds.items() if text is not None],
        }
        return Call("POST", self._endpoint, self._headers, encode(mail), timeout_s=10.0)

    def read(self, reply: Reply | Fault) -> Result:
        if isinstance(reply, Fault):
            return by_fault(self.name, reply)
        message_id = reply.headers.get("x-message-id", "")
        result = by_table(self.name, CODES, _code(reply), reply, message_id)
        if result.kind is Kind.THROTTLED and result.retry_after_s is None:
            return replace(result, retry_after_s=_reset_s(reply))
        return result

    def _one_click(self, ref: str) -> dict[str, str]:
        """The headers of RFC 8058, which large mailbox providers demand of bulk mail."""
        return {
            "List-Unsubscribe": f"<{self.unsubscribe_url}?ref={quote(ref, safe='')}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    @cached_property
    def _endpoint(self) -> str:
        return f"{self.url}/v3/mail/send"

    @cached_property
    def _sender(self) -> Mapping[str, str]:
        return {"email": self.from_, "name": self.from_name} if self.from_name else {"email": self.from_}

    @cached_property
    def _headers(self) -> Mapping[str, str]:
        return {
            "Authorization": f"Bearer {self.key.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }


def _code(reply: Reply) -> str:
    """The status, and a word where one status has two causes that call for different hands."""
    if reply.status < 400:
        return ""
    text = reply.body.lower()
    for status, sign, word in (
        (400, b"personalizations.0.to", "to"),
        (401, b"maximum credits exceeded", "credits"),
        (403, b"temporarily blocked", "blocked"),
    ):
        if reply.status == status and sign in text:
            return f"{status}.{word}"
    return str(reply.status)


def _reset_s(reply: Reply) -> float:
    """Seconds until X-RateLimit-Reset."""
    try:
        reset = float(reply.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return THROTTLED_S
    wait_s = bounded_s(reset - reply.at_s if reset > EPOCH_ABOVE else reset)
    return THROTTLED_S if wait_s is None else wait_s


PROVIDER = SendGrid
