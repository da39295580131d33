"""What one exchange is made of: the request as read, the message it carries, the answer to it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

JSON = b"application/json; charset=utf-8"
FORM = b"application/x-www-form-urlencoded"

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One HTTP request, read to its last byte."""

    method: bytes
    path: bytes
    query: bytes
    authorization: bytes
    content_type: bytes
    body: bytes
    keep_alive: bool


class Answer(NamedTuple):
    """One HTTP answer. `headers` are whole lines, each with its CRLF."""

    status: int
    body: bytes = b""
    headers: bytes = b""
    content_type: bytes = JSON

    def encode(self, keep_alive: bool = True) -> bytes:
        return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s%s\r\n%s" % (
            self.status,
            _REASONS.get(self.status, b"Unknown"),
            self.content_type,
            len(self.body),
            self.headers,
            b"" if keep_alive else b"Connection: close\r\n",
            self.body,
        )


class Message(NamedTuple):
    """What a provider makes of a request: whom and what it names (hashed at once), and the answer it deserves.

    `id` is the provider's name for the message, and None when the provider would not have sent anything.
    """

    answer: Answer
    id: str | None = None
    to_hash: str | None = None
    body_hash: str | None = None
    ref: str | None = None


class Provider(Protocol):
    """One stand-in. A provider without a `channel` carries no message, so its calls stay out of the ledger."""

    @property
    def name(self) -> str: ...

    @property
    def channel(self) -> str | None: ...

    def read(self, request: Request) -> Message: ...

    def fault(self, status: int, code: str | None = None, message: str | None = None) -> Answer:
        """An error in this provider's own shape. None takes the code and words usual for the status."""
        ...


def digest(text: str | bytes | None) -> str | None:
    """SHA-256, in hex, of the text's UTF-8; None stays None."""
    if text is None:
        return None
    return sha256(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text).hexdigest()


def parse_form(body: bytes) -> dict[bytes, bytes]:
    """The fields of a urlencoded form or query; the last of several wins."""
    fields = {}
    for pair in body.split(b"&"):
        name, _, value = pair.partition(b"=")
        fields[name if name.isalnum() else _decode(name)] = value if value.isalnum() else _decode(value)
    return fields


def _decode(text: bytes) -> bytes:
    text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text
