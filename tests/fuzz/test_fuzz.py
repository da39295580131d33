"""A short search finds nothing, and each check is red over a case that is broken by hand."""

from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

import msgspec
import pytest

from agents.provider import Kind
from flows.engine.kafka.fetched import Fetched
from schemas import topics
from schemas.records import Status
from schemas.vocabulary import Step
from tests.fuzz import pipeline, run
from tests.fuzz.checks import findings
from tests.fuzz.hostile import MAILBOX, SECRET, Written, known_users
from tests.fuzz.pipeline import Clock, Pipeline

TEMPLATE = msgspec.json.encode(
    {"version": 1, "channels": {"sms": {"body": "{{code}}"}, "email": {"subject": "{{code}}", "body": "{{code}}"}}}
)
ASKED = {
    "tenant": "acme",
    "idempotency_key": "k1",
    "user_id": "ada",
    "channels": ["sms", "email"],
    "category": "orders",
    "class": "otp",
    "template_id": "one",
    "params": {"code": SECRET},
}


@pytest.fixture(autouse=True)
def _calls_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "KINDS", (Kind.ACCEPTED,))


def a_case() -> Pipeline:
    """A sound request, played to its end."""
    clock = Clock()
    with patch("time.time_ns", clock.time_ns):
        case = Pipeline({"one": TEMPLATE}, clock, 0)
        for written in (*known_users(), Written("notifications.high", b"ada", msgspec.json.encode(ASKED))):
            case.write(written)
        assert case.run()
    return case


def told(case: Pipeline) -> list[Fetched]:
    return case.log[topics.STATUSES.name]


def without(step: Step) -> Callable[[Pipeline], None]:
    def change(case: Pipeline) -> None:
        case.log[topics.STATUSES.name] = [
            record for record in told(case) if msgspec.json.decode(record.value or b"", type=Status).step is not step
        ]

    return change


def a_record(topic: str, value: bytes) -> Callable[[Pipeline], None]:
    return lambda case: case.log[topic].append(Fetched(topic, 0, 0, 0, b"k", value, ()))


def test_a_sound_case_is_sent_twice_and_has_no_finding() -> None:
    case = a_case()
    assert findings(case, ended=True) == []
    steps = Counter(msgspec.json.decode(record.value or b"", type=Status).step for record in told(case))
    assert steps == {Step.ROUTED: 1, Step.SENT: 2}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda case: case.raised.append("route.high raised"), "route.high raised"),
        (without(Step.ROUTED), "0 decisions"),
        (without(Step.SENT), "2 deliveries were routed"),
        (lambda case: case.log[topics.STATUSES.name].extend(told(case)[-1:]), "2 deliveries were routed"),
        (a_record("retries.high.1s", b"x" * 1_000_000), "a record of 1000001 bytes"),
        (a_record(topics.DEAD_LETTERS.name, MAILBOX.encode()), "a secret is readable"),
        (
            a_record(topics.DEAD_LETTERS.name, msgspec.json.encode({"b": f"xy{SECRET}".encode()})),
            "a secret is readable",
        ),
        (lambda case: case.tallies.add(("dead_letters_total", (SECRET,))), "a secret is in a metric's label"),
        (lambda case: setattr(case.writes[-1].row, "notification_id", "x" * 2_049), "2049 bytes"),  # type: ignore[union-attr]
        (lambda case: case.works[-1].message.parts.update(subject="a\r\nb"), "a subject with a control character"),  # type: ignore[attr-defined]
    ],
)
def test_a_broken_case_has_its_finding(change: Callable[[Pipeline], None], finding: str) -> None:
    case = a_case()
    change(case)
    assert any(finding in wrong for wrong in findings(case, ended=True))


def test_a_stage_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.admit.read", lambda *_: 1 / 0)
    clock = Clock()
    with patch("time.time_ns", clock.time_ns):
        case = Pipeline({}, clock, 0)
        case.write(Written("notifications.high", b"k", b"v"))
        case.run()
    assert any("ZeroDivisionError" in wrong for wrong in case.raised)


def test_a_short_search_finds_nothing() -> None:
    seen: Counter[str] = Counter()
    assert run.search(1, seen, most=100) == ""
    assert seen["cases"] >= 100
