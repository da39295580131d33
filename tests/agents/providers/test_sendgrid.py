from collections.abc import Callable
from json import dumps, loads

import pytest
from sendgrid.helpers.mail import CustomArg, Email, Header, Mail

from agents.provider import Kind, Message, Reply, Sent
from agents.provider_settings import Secret
from agents.providers.sendgrid import CODES, SendGrid
from schemas.vocabulary import MessageClass

OURS = SendGrid(Secret("SG.k"), "news@carillon.example", "Carillon", unsubscribe_url="https://carillon.example/stop")

# HTTP status, the field and the words of the first error, what they mean, whether the mailbox is to be suppressed.
ROWS = [
    ("400", 400, "subject", "The subject is required.", Kind.REJECTED_REQUEST, False),
    ("400.to", 400, "personalizations.0.to.0.email", "Not a valid address.", Kind.REJECTED_RECIPIENT, True),
    ("401", 401, None, "The provided authorization grant is invalid", Kind.MISCONFIGURED, False),
    ("401.credits", 401, None, "Maximum credits exceeded", Kind.MISCONFIGURED, False),
    ("403", 403, "from", "The from address does not match a verified Sender Identity.", Kind.MISCONFIGURED, False),
    ("403.blocked", 403, None, "Your account has been temporarily blocked", Kind.MISCONFIGURED, False),
    ("404", 404, None, "not found", Kind.REJECTED_REQUEST, False),
    ("405", 405, None, "method not allowed", Kind.REJECTED_REQUEST, False),
    ("406", 406, None, "Missing Accept header", Kind.REJECTED_REQUEST, False),
    ("413", 413, None, "too large", Kind.REJECTED_REQUEST, False),
    ("415", 415, None, "unsupported", Kind.REJECTED_REQUEST, False),
    ("429", 429, None, "too many requests", Kind.THROTTLED, False),
]


def error(status: int, field: str | None = None, words: str = "", **headers: str) -> Reply:
    body = dumps({"errors": [{"message": words, "field": field, "help": None}]}).encode()
    return Reply(status, {key.replace("_", "-"): value for key, value in headers.items()}, body, at_s=1_795_000_000.0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_error_means_what_sendgrid_says(row: tuple[str, int, str | None, str, Kind, bool]) -> None:
    code, status, field, words, kind, suppress = row
    result = OURS.read(error(status, field, words))
    assert (result.code, result.kind, result.suppress, result.sent) == (code, kind, suppress, Sent.NO)


def test_no_row_of_the_table_goes_untested() -> None:
    assert {row[0] for row in ROWS} == set(CODES)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_may_have_sent(status: int) -> None:
    assert OURS.read(error(status, "personalizations.0.to.0.email")).sent is Sent.MAYBE


def test_an_unknown_status_falls_back_to_its_hundred() -> None:
    assert OURS.read(error(418)).kind is Kind.REJECTED_REQUEST


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 5),
        ({"x_ratelimit_reset": "2"}, 2),
        ({"x_ratelimit_reset": "1795000002"}, 2),
        ({"x_ratelimit_reset": "1392815263"}, 0),
        ({"x_ratelimit_reset": "nan"}, 5),
        ({"x_ratelimit_reset": "soon"}, 5),
        ({"x_ratelimit_reset": "-3"}, 0),
        ({"x_ratelimit_reset": "2", "retry_after": "9"}, 9),
    ],
)
def test_a_throttle_lifts_when_the_reset_says_in_either_of_its_meanings(headers: dict[str, str], wait_s: float) -> None:
    assert OURS.read(error(429, **headers)).retry_after_s == wait_s


def test_an_accepted_mail_gives_its_id() -> None:
    result = OURS.read(Reply(202, {"x-message-id": "14c5d75ce93"}, b""))
    assert (result.kind, result.message_id) == (Kind.ACCEPTED, "14c5d75ce93")


def by_the_sdk(message: Message, *, one_click: bool = False) -> object:
    mail = Mail(
        Email("news@carillon.example", "Carillon"),
        message.address,
        message.parts["subject"],
        plain_text_content=message.parts["body"],
        html_content=message.parts["html"],
    )
    mail.custom_arg = CustomArg("ref", message.ref, p=0)
    if one_click:
        mail.header = Header("List-Unsubscribe", f"<https://carillon.example/stop?ref={message.ref}>", p=0)
        mail.header = Header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click", p=0)
    return mail.get()


@pytest.mark.parametrize("message_class", MessageClass)
def test_the_request_is_the_one_the_sendgrid_sdk_makes(
    message_class: MessageClass, a_message: Callable[..., Message]
) -> None:
    message = a_message(address="bob@example.org", message_class=message_class)
    call = OURS.call(message)
    assert loads(call.body) == by_the_sdk(message, one_click=message_class is MessageClass.MARKETING)
    assert (call.method, call.url) == ("POST", "https://api.sendgrid.com/v3/mail/send")
    assert call.headers["Authorization"] == "Bearer SG.k"


def test_a_mail_without_html_is_plain_text_alone(a_message: Callable[..., Message]) -> None:
    call = OURS.call(a_message(parts={"subject": "s", "body": "b"}))
    assert loads(call.body)["content"] == [{"type": "text/plain", "value": "b"}]


def test_the_custom_args_hold_our_reference_and_no_person(a_message: Callable[..., Message]) -> None:
    person = loads(OURS.call(a_message(address="bob@example.org")).body)["personalizations"][0]
    assert person["custom_args"] == {"ref": "0d7f1c1e-4a5b.sms.1"}
