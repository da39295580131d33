"""SendGrid v3 Mail Send: POST /sendgrid/v3/mail/send.

Shapes, limits and words as in SendGrid's OpenAPI and its page of mail-send errors. Any key that begins with "SG." is
let in. A request is one ledger row, named by its first recipient, reference and content block.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import orjson

from deploy.sandbox.exchange import JSON, Answer, Message, Request, digest

_PATH = b"/sendgrid/v3/mail/send"
_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(\.[^@\s<>,;.]+)+")
_RECIPIENTS_MAX = 1000  # over all personalizations, of which each has at least one
_HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"

_WORDS = {
    400: "Bad Request",
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "The from address does not match a verified Sender Identity. Mail cannot be sent until this is resolved.",
    404: "Not Found",
    405: "Method not allowed",
    413: "Payload too large",
    415: "Content-Type should be application/json.",
    429: "too many requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_NO_PERSONALIZATION = "The personalizations field is required and must have at least one personalization."
_NO_FROM = (
    "The from object must be provided for every email send. It is an object that requires the email parameter, "
    "but may also contain a name parameter."
)
_NO_TO = (
    "The to array is required for all personalization objects, and must have at least one email object with a valid "
    "email address."
)
_BAD_ADDRESS = "Does not contain a valid address."
_NO_SUBJECT = (
    "The subject is required. You can get around this requirement if you use a template with a subject defined or if "
    "every personalization has a subject defined."
)
_NO_CONTENT = (
    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined "
    "content block. We typically suggest both text/plain and text/html blocks are included, but only one block is "
    "required."
)
_EMPTY_CONTENT = "The content value must be a string at least one character in length."

Fault = tuple[str, str | None]
"""The words and the field of one entry of `errors`."""


class SendGrid:
    name = "sendgrid"
    channel = "email"

    def __init__(self) -> None:
        self._run = os.urandom(8).hex()
        self._count = itertools.count(1)

    def read(self, request: Request) -> Message:
        try:
            mail = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            mail = None
        seen = _seen(mail)
        if refusal := _admit(request):
            return Message(self.fault(*refusal), None, *seen)
        if fault := _check(mail):
            return Message(_errors(400, fault), None, *seen)
        if _item(_item(mail, "mail_settings"), "sandbox_mode", "enable") is True:
            return Message(Answer(200), None, *seen)
        message_id = f"{self._run}{next(self._count):06x}"
        header = b"X-Message-Id: %s\r\n" % message_id.encode()
        return Message(Answer(202, b"", header, b"text/plain; charset=utf-8"), message_id, *seen)

    def fault(self, status: int, code: str | None = None, message: str | None = None) -> Answer:
        """`code` is the path that SendGrid gives as `field`."""
        return _errors(status, (message or _WORDS.get(status, "An error occurred"), code))


def _errors(status: int, fault: Fault) -> Answer:
    message, field = fault
    link = f"{_HELP}message.{re.sub(r'[.][0-9]+', '', field)}" if field else None
    return Answer(status, orjson.dumps({"errors": [{"message": message, "field": field, "help": link}]}), b"", JSON)


def _admit(request: Request) -> tuple[int] | None:
    if request.path != _PATH:
        return (404,)
    if request.method != b"POST":
        return (405,)
    if not request.authorization.startswith(b"Bearer SG."):
        return (401,)
    if not request.content_type.startswith(b"application/json"):
        return (415,)
    return None


def _check(mail: Any) -> Fault | None:
    if not isinstance(mail, dict):
        return "Bad Request", None
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people:
        return _NO_PERSONALIZATION, "personalizations"
    return _check_people(people) or _check_sender(mail.get("from")) or _check_content(mail, people)


def _check_sender(sender: Any) -> Fault | None:
    email = _item(sender, "email")
    if not isinstance(email, str) or not email:
        return _NO_FROM, "from.email"
    return None if _EMAIL.fullmatch(email) else (_BAD_ADDRESS, "from.email")


def _check_people(people: list[Any]) -> Fault | None:
    total = 0
    for index, person in enumerate(people):
        where = f"personalizations.{index}"
        if not _item(person, "to"):
            return _NO_TO, f"{where}.to"
        for kind in ("to", "cc", "bcc"):
            addresses = person.get(kind) or []
            if not isinstance(addresses, list):
                return f"The {kind} parameter must be an array.", f"{where}.{kind}"
            total += len(addresses)
            for position, address in enumerate(addresses):
                email = _item(address, "email")
                if not isinstance(email, str) or not _EMAIL.fullmatch(email):
                    return _BAD_ADDRESS, f"{where}.{kind}.{position}.email"
    if total > _RECIPIENTS_MAX:
        return "The total number of recipients must be no more than 1000.", "personalizations"
    return None


def _check_content(mail: dict[str, Any], people: list[Any]) -> Fault | None:
    if mail.get("template_id"):
        return None
    if not mail.get("subject") and not all(person.get("subject") for person in people):
        return _NO_SUBJECT, "subject"
    content = mail.get("content")
    if not isinstance(content, list) or not content:
        return _NO_CONTENT, "content"
    for index, block in enumerate(content):
        if not isinstance(value := _item(block, "value"), str) or not value:
            return _EMPTY_CONTENT, f"content.{index}.value"
    return None


def _seen(mail: Any) -> tuple[str | None, str | None, str | None]:
    """(to_hash, body_hash, ref) as far as the mail has them, valid or not."""
    person = _first(_item(mail, "personalizations"))
    to = _item(_first(_item(person, "to")), "email")
    body = _item(_first(_item(mail, "content")), "value")
    ref = _item(person, "custom_args", "ref")
    return (
        digest(to) if isinstance(to, str) else None,
        digest(body) if isinstance(body, str) else None,
        ref if isinstance(ref, str) else None,
    )


def _item(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None
