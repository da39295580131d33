from collections.abc import Callable
from json import dumps
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import twilio.http
import twilio.rest

from agents.provider import Kind, Message, Reply, Sent
from agents.provider_settings import Secret
from agents.providers.twilio import CODES, Twilio
from schemas.vocabulary import MessageClass

OURS = Twilio("AC1", "SK1", Secret("s3cret"), "+15005550006", callback_url="https://carillon.example/callbacks/twilio")

# Twilio's error dictionary: HTTP status, code, what it means for a send, whether the number is to be suppressed.
ROWS = [
    (401, 20003, Kind.MISCONFIGURED, False),
    (403, 20005, Kind.MISCONFIGURED, False),
    (429, 20429, Kind.THROTTLED, False),
    (400, 21211, Kind.REJECTED_RECIPIENT, True),
    (400, 21212, Kind.MISCONFIGURED, False),
    (400, 21217, Kind.REJECTED_RECIPIENT, True),
    (400, 21408, Kind.MISCONFIGURED, False),
    (400, 21602, Kind.REJECTED_REQUEST, False),
    (400, 21604, Kind.REJECTED_REQUEST, False),
    (400, 21606, Kind.MISCONFIGURED, False),
    (400, 21608, Kind.MISCONFIGURED, False),
    (400, 21610, Kind.OPTED_OUT, True),
    (400, 21611, Kind.THROTTLED, False),
    (429, 21611, Kind.THROTTLED, False),
    (400, 21612, Kind.REJECTED_REQUEST, False),
    (400, 21614, Kind.REJECTED_RECIPIENT, True),
    (400, 21617, Kind.REJECTED_REQUEST, False),
    (400, 21619, Kind.REJECTED_REQUEST, False),
    (400, 21620, Kind.REJECTED_REQUEST, False),
    (400, 21635, Kind.REJECTED_RECIPIENT, True),
    *((400, code, Kind.REJECTED_REQUEST, False) for code in range(21655, 21660)),
    (400, 21660, Kind.MISCONFIGURED, False),
    (400, 21661, Kind.MISCONFIGURED, False),
    (400, 21663, Kind.MISCONFIGURED, False),
    (400, 21668, Kind.MISCONFIGURED, False),
    (400, 21670, Kind.MISCONFIGURED, False),
]


def error(status: int, code: object, **headers: str) -> Reply:
    said = {"code": code, "message": "The number +15551234567 is unverified", "status": status}
    return Reply(status, headers, dumps(said).encode())


@pytest.mark.parametrize(("status", "code", "kind", "suppress"), ROWS)
def test_each_code_means_what_twilio_says(status: int, code: int, kind: Kind, suppress: bool) -> None:
    result = OURS.read(error(status, code))
    assert (result.kind, result.suppress, result.sent, result.code) == (kind, suppress, Sent.NO, str(code))
    assert "555" not in repr(result)


def test_no_row_of_the_table_goes_untested() -> None:
    assert {str(code) for _, code, _, _ in ROWS} == set(CODES)


@pytest.mark.parametrize("code", [21408, 21608, 21612])
def test_what_holds_for_one_country_is_marked_so_that_the_account_goes_on(code: int) -> None:
    assert OURS.read(error(400, code)).destination


@pytest.mark.parametrize("code", [20500, 20503, 21610, 20429, 99999])
@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_may_have_sent_whatever_code_it_carries(status: int, code: int) -> None:
    assert OURS.read(error(status, code)).sent is Sent.MAYBE


@pytest.mark.parametrize("code", [12345, "21610", 2_161_0000, None, True, {"a": 1}])
def test_an_unknown_code_falls_back_to_the_status(code: object) -> None:
    assert OURS.read(error(400, code)).kind is Kind.REJECTED_REQUEST
    assert OURS.read(error(429, code)).kind is Kind.THROTTLED


def test_a_wait_is_taken_over_when_given() -> None:
    assert OURS.read(error(429, 20429, **{"retry-after": "7"})).retry_after_s == 7
    assert OURS.read(error(429, 20429)).retry_after_s is None


def test_an_accepted_message_gives_its_id() -> None:
    reply = Reply(201, {}, dumps({"sid": "SM0123", "status": "queued", "error_code": None}).encode())
    result = OURS.read(reply)
    assert (result.kind, result.sent, result.message_id) == (Kind.ACCEPTED, Sent.YES, "SM0123")


def test_a_created_message_whose_body_is_cut_short_is_accepted_without_an_id() -> None:
    result = OURS.read(Reply(201, {}, b'{"sid": "SM01'))
    assert (result.kind, result.message_id) == (Kind.ACCEPTED, "")


class Caught(twilio.http.HttpClient):
    """Twilio's own client, up to the socket."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def request(self, method: str, uri: str, **options: Any) -> twilio.http.TwilioResponse:
        self.seen = {"method": method, "url": uri, **options}
        return twilio.http.TwilioResponse(201, '{"sid": "SM1"}')


@pytest.mark.parametrize("sender", ["+15005550006", "MG0123456789abcdef"])
def test_the_request_is_the_one_the_twilio_sdk_makes(sender: str, a_message: Callable[..., Message]) -> None:
    ours = Twilio("AC1", "SK1", Secret("s3cret"), sender, callback_url="https://carillon.example/callbacks/twilio")
    message = a_message()
    caught = Caught()
    sdk = twilio.rest.Client("SK1", "s3cret", account_sid="AC1", http_client=caught)
    sdk.messages.create(
        message.address,
        body=message.parts["body"],
        validity_period=300,
        status_callback="https://carillon.example/callbacks/twilio?ref=0d7f1c1e-4a5b.sms.1",
        **({"messaging_service_sid": sender} if sender.startswith("MG") else {"from_": sender}),
    )
    call = ours.call(message)
    assert (call.method, call.url) == (caught.seen["method"], caught.seen["url"])
    assert dict(parse_qsl(call.body.decode(), strict_parsing=True)) == {
        key: str(value) for key, value in caught.seen["data"].items()
    }
    assert caught.seen["auth"] == ("SK1", "s3cret")
    assert call.headers["Authorization"] == "Basic U0sxOnMzY3JldA=="
    assert call.headers["Content-Type"] == caught.seen["headers"]["Content-Type"]


@pytest.mark.parametrize(("ttl_s", "validity"), [(0.2, "1"), (300.9, "300"), (259_200.0, "36000")])
def test_the_validity_is_the_deadline_within_what_twilio_takes(
    ttl_s: float, validity: str, a_message: Callable[..., Message]
) -> None:
    assert parse_qs(OURS.call(a_message(ttl_s=ttl_s)).body.decode())["ValidityPeriod"] == [validity]


def test_any_reference_comes_back_whole_from_the_callback(a_message: Callable[..., Message]) -> None:
    form = parse_qs(OURS.call(a_message(ref="a&b=c d/é.1")).body.decode())
    assert parse_qs(urlsplit(form["StatusCallback"][0]).query) == {"ref": ["a&b=c d/é.1"]}


def test_without_a_callback_address_none_is_asked_for(a_message: Callable[..., Message]) -> None:
    bare = Twilio("AC1", "SK1", Secret("s3cret"), "+15005550006")
    assert b"StatusCallback" not in bare.call(a_message()).body


def test_an_otp_is_given_up_on_sooner(a_message: Callable[..., Message]) -> None:
    assert OURS.call(a_message(message_class=MessageClass.OTP)).timeout_s == 3
    assert OURS.call(a_message()).timeout_s == 5
