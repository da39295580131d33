import pytest

from agents.provider import Fault, Kind, Reply, Ruling, Sent
from agents.provider_reading import by_fault, by_status, by_table, retry_after_s

CODES = {
    "dead": Ruling(Kind.REJECTED_RECIPIENT, "dead_number", suppress=True),
    "slow": Ruling(Kind.THROTTLED, "throttled"),
    "far": Ruling(Kind.MISCONFIGURED, "not_there", destination=True),
}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (100, Kind.AMBIGUOUS),
        (200, Kind.ACCEPTED),
        (299, Kind.ACCEPTED),
        (301, Kind.AMBIGUOUS),
        (307, Kind.AMBIGUOUS),
        (400, Kind.REJECTED_REQUEST),
        (401, Kind.MISCONFIGURED),
        (403, Kind.MISCONFIGURED),
        (404, Kind.REJECTED_REQUEST),
        (408, Kind.AMBIGUOUS),
        (429, Kind.THROTTLED),
        (499, Kind.AMBIGUOUS),
        (500, Kind.AMBIGUOUS),
        (503, Kind.AMBIGUOUS),
        (999, Kind.AMBIGUOUS),
        (0, Kind.AMBIGUOUS),
    ],
)
def test_a_status_alone_claims_unsent_only_where_it_is_known(status: int, kind: Kind) -> None:
    assert by_status(status).kind is kind


def test_a_code_is_asked_only_where_the_status_says_that_nothing_was_sent() -> None:
    assert by_table("p", CODES, "dead", Reply(400, {}, b"")).suppress
    assert by_table("p", CODES, "far", Reply(400, {}, b"")).destination
    assert by_table("p", CODES, "dead", Reply(201, {}, b"")).sent is Sent.YES
    assert by_table("p", CODES, "dead", Reply(500, {}, b"")).sent is Sent.MAYBE
    assert by_table("p", CODES, "new", Reply(400, {}, b"")).kind is Kind.REJECTED_REQUEST


def test_a_message_id_belongs_to_an_accepted_message() -> None:
    assert by_table("p", CODES, "", Reply(201, {}, b""), "m1").message_id == "m1"
    assert by_table("p", CODES, "", Reply(500, {}, b""), "m1").message_id == ""


def test_a_wait_is_kept_only_where_waiting_helps() -> None:
    asked = {"retry-after": "5"}
    assert by_table("p", CODES, "slow", Reply(400, asked, b"")).retry_after_s == 5
    assert by_table("p", CODES, "", Reply(503, asked, b"")).retry_after_s == 5
    assert by_table("p", CODES, "dead", Reply(400, asked, b"")).retry_after_s is None
    assert by_table("p", CODES, "", Reply(201, asked, b"")).retry_after_s is None


def test_no_answer_is_unsent_only_if_nothing_left_us() -> None:
    assert by_fault("p", Fault(True, "connect_failed")).kind is Kind.UNAVAILABLE
    assert by_fault("p", Fault(False, "connection_lost")).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120),
        ("1.5", 1.5),
        ("-1", 0),
        ("1e9", 86_400),
        ("Wed, 18 Nov 2026 14:26:50 GMT", 10),
        ("Wed, 18 Nov 2026 14:26:00 GMT", 0),
        ("Wed, 18 Nov 2026 14:26:50", 10),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Wed, 99 Nov 2026 99:26:50 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, wait_s: float | None) -> None:
    assert retry_after_s(Reply(429, {"retry-after": text}, b"", at_s=1_795_012_000.0)) == wait_s
