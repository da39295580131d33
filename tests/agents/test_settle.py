"""settle and its policy: what each outcome leads to, when it is tried again, and until when."""

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.attempt import NOT_STARTED, Outcome, Work
from agents.deliver import abandon
from agents.provider import Kind
from schemas import metrics, topics
from schemas.keys import address_suppression
from schemas.records import Delivery
from schemas.vocabulary import CLASSES, MessageClass, Reason
from tables.attempts import State
from tests.agents.world import DAY, NOW, Delivering, a_delivery, delivered, id_of, ruled, steps, waiting, written

RETRYABLE = [Kind.THROTTLED, Kind.UNAVAILABLE, Kind.MISCONFIGURED]


def waits(delivery: Delivery, draw: float = 0.0, **result: Any) -> tuple[list[float], tuple[str, str]]:
    """Let every attempt fail; the seconds waited before each further one, and how it ended."""
    delivering, found = Delivering(draw=draw), []
    for offset in range(9):
        outbox = delivering.attempt(delivery, ruled(Kind.UNAVAILABLE, **result), offset)
        if not waiting(outbox):
            return found, steps(outbox)[-1]
        ((_, to, due, body),) = waiting(outbox)
        assert (to, steps(outbox)) == (f"sms_notifications.{delivering.lane}", [("retrying", "because")])
        delivery = msgspec.convert(body, Delivery)
        assert delivery.due_ms == due
        found.append((due - delivering.world.clock.now) / 1000)
        delivering.world.clock.now = due
    raise AssertionError("it goes on for ever")


@pytest.mark.parametrize("kind", MessageClass)
def test_retries_come_after_the_waits_of_the_class_and_then_the_dead_letters(kind: MessageClass) -> None:
    assert waits(a_delivery(message_class=kind)) == (list(CLASSES[kind].backoff_s), ("dead", "retries_spent"))


def test_the_waits_of_the_design_are_1_2_4_and_where_a_class_allows_it_8_seconds() -> None:
    assert {kind.value: rule.backoff_s for kind, rule in CLASSES.items()} == {
        "otp": (1, 2, 4),
        "transactional": (1, 2, 4, 8),
        "billing": (1, 2, 4, 8),
        "marketing": (1, 2, 4),
    }


@given(st.floats(0, 1))
def test_jitter_only_lengthens_a_wait_and_by_a_tenth_at_most(draw: float) -> None:
    for waited, asked in zip(waits(a_delivery(), draw)[0], (1, 2, 4, 8), strict=True):
        assert asked <= waited <= asked * 1.1


@pytest.mark.parametrize(("asked", "waited"), [(0.5, 1), (10.0, 10), (60.0, 60), (900.0, 900)])
def test_a_provider_that_asks_for_more_is_given_it_and_one_that_asks_for_less_is_not(
    asked: float, waited: float
) -> None:
    assert waits(a_delivery(), retry_after_s=asked)[0][0] == waited


def test_a_wait_past_the_deadline_expires_now_and_says_so() -> None:
    delivery = a_delivery(message_class=MessageClass.OTP, deadline_ms=NOW + 60_000)
    assert waits(delivery, retry_after_s=60.0) == ([], ("expired", "past_deadline"))
    assert waits(delivery, retry_after_s=59.0)[0] == [59]


@pytest.mark.parametrize("kind", RETRYABLE)
def test_what_surely_sent_nothing_is_tried_again(kind: Kind) -> None:
    delivering, delivery = Delivering(), a_delivery()
    ((_, _, _, body),) = waiting(delivering.attempt(delivery, ruled(kind, code="429"), 0))
    latest = delivering.latest(delivery)
    assert (latest.state, latest.step, latest.number) == (State.RETRYABLE, "retrying", 1)
    assert body["tried"] == [
        {"attempt": 1, "provider": "twilio", "sent": "no", "reason": "because", "at_ms": NOW, "code": "429"}
    ]


def test_what_never_began_spends_no_attempt_and_waits_ever_longer_until_the_deadline() -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=MessageClass.OTP, deadline_ms=NOW + 100_000)
    waited, offset = [], 0
    while True:
        work = delivering.announce(delivery, offset)
        outbox = delivering.settle(Outcome(work, ruled(Kind.UNAVAILABLE, "connect_failed"), 0))
        if not waiting(outbox):
            break
        ((_, _, due, body),) = waiting(outbox)
        assert (steps(outbox), body.get("tried")) == ([("retrying", "connect_failed")], None)
        offset, delivery = offset + 1, msgspec.convert(body, Delivery)
        assert (delivery.attempt, delivery.unspent) == (offset + 1, offset)
        waited.append((due - delivering.world.clock.now) / 1000)
        delivering.world.clock.now = due
    assert waited == [1, 2, 4, 8, 30, 30, 8, 8, 8], "the last waits are those that still fit"
    assert steps(outbox) == [("expired", "past_deadline")]
    assert delivering.world.clock.now == NOW + 99_000


def test_attempts_that_never_began_leave_the_class_all_of_its_own() -> None:
    delivering, delivery = Delivering(), a_delivery()
    unmade, failed, ends = ruled(Kind.UNAVAILABLE, "no_free_connection"), ruled(Kind.UNAVAILABLE), []
    waited = []
    for offset, result in enumerate((unmade, failed, unmade, unmade, *(failed,) * 4)):
        work = delivering.announce(delivery, offset)
        outbox = delivering.settle(Outcome(work, result, 0 if result is unmade else NOW))
        ends += steps(outbox)
        for _, _, due, body in waiting(outbox):
            delivery = msgspec.convert(body, Delivery)
            waited.append((due - delivering.world.clock.now) / 1000)
            delivering.world.clock.now = due
    assert waited == [1, 1, 2, 4, 2, 4, 8]
    assert ends[-1] == ("dead", "retries_spent")
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert [tried["attempt"] for tried in letter["tried"]] == [2, 5, 6, 7, 8]


def test_a_sent_delivery_ends_and_its_status_carries_the_provider_s_id() -> None:
    delivering, delivery = Delivering(), a_delivery()
    outbox = delivering.attempt(delivery, ruled(Kind.ACCEPTED, message_id="SM1"), 5)
    (status,) = written(outbox, topics.STATUSES)
    assert (status["step"], status["provider"], status["provider_message_id"]) == ("sent", "twilio", "SM1")
    assert (status["position"], status["attempt"], status["channel"]) == ("sms_notifications.high/0/5", 1, "sms")
    assert delivering.latest(delivery).state == State.ENDED
    assert outbox.tally[metrics.ENDS, ("high", "sms", "sent", "")] == 1


def test_outcomes_of_one_batch_are_kept_each_in_the_partition_of_its_delivery_s_record() -> None:
    delivering, delivery = Delivering(), a_delivery()
    _, outbox = delivering.run(*(delivered(delivery, 5, partition=partition) for partition in (0, 1, 2)))
    results = [ruled(Kind.ACCEPTED), ruled(Kind.UNAVAILABLE), ruled(Kind.REJECTED_REQUEST)]
    works = cast(list[Work], outbox.calls)
    outbox = delivering.settle(*(Outcome(work, result, NOW) for work, result in zip(works, results, strict=True)))
    positions = [status["position"] for status in written(outbox, topics.STATUSES)]
    assert positions == [f"sms_notifications.high/{partition}/5" for partition in (0, 1, 2)]
    latest = [delivering.latest(delivery, partition) for partition in (0, 1, 2)]
    assert [(it.partition, it.step) for it in latest] == [(0, "sent"), (1, "retrying"), (2, "dead")]
    assert len(delivering.world.tables["attempts"]) == 3


def test_a_sent_otp_that_went_once_more_is_flagged() -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=MessageClass.OTP)
    ((_, _, _, body),) = waiting(delivering.attempt(delivery, ruled(Kind.AMBIGUOUS), 0))
    outbox = delivering.attempt(msgspec.convert(body, Delivery), ruled(Kind.ACCEPTED), 1)
    assert written(outbox, topics.STATUSES)[0]["possible_duplicate"] is True


@pytest.mark.parametrize(
    "repeat",
    [
        {"result": ruled(Kind.REJECTED_RECIPIENT, suppress=True)},
        {"result": ruled(Kind.OPTED_OUT)},
        {"stopped": Reason.OPTED_OUT},
        {"stopped": Reason.PAST_DEADLINE},
    ],
)
def test_an_otp_whose_repeat_did_not_go_ends_as_unknown_for_the_first_may_have_arrived(
    repeat: dict[str, Any],
) -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=MessageClass.OTP)
    ((_, _, _, body),) = waiting(delivering.attempt(delivery, ruled(Kind.AMBIGUOUS), 0))
    work = delivering.announce(msgspec.convert(body, Delivery), 1)
    outbox = delivering.settle(Outcome(work, **{"result": NOT_STARTED, "called_ms": NOW} | repeat))
    assert steps(outbox) == [("unknown", "outcome_unknown")]
    assert len(written(outbox, topics.DEAD_LETTERS)) == 1


@pytest.mark.parametrize(
    ("kind", "suppress", "step"),
    [
        (Kind.REJECTED_REQUEST, False, "dead"),
        (Kind.REJECTED_RECIPIENT, True, "dead"),
        (Kind.REJECTED_RECIPIENT, False, "dead"),
        (Kind.OPTED_OUT, True, "suppressed"),
    ],
)
def test_a_refusal_ends_the_delivery_and_a_fault_of_the_recipient_suppresses_the_address(
    kind: Kind, suppress: bool, step: str
) -> None:
    delivery = a_delivery()
    outbox = Delivering().attempt(delivery, ruled(kind, "why", suppress=suppress), 0)
    assert steps(outbox) == [(step, "why")]
    told = written(outbox, topics.SUPPRESSIONS)
    key = address_suppression("shop", delivery.address_hash, "sms").decode()
    assert told == ([{"key": key, "blocked": True, "reason": "why", "since_ms": NOW}] if suppress else [])
    assert bool(written(outbox, topics.DEAD_LETTERS)) == (step == "dead")


def test_a_dead_letter_carries_its_cause_its_position_and_every_attempt() -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=MessageClass.OTP)
    for offset in range(4):
        outbox = delivering.attempt(delivery, ruled(Kind.UNAVAILABLE, f"reason_{offset}"), offset)
        found = waiting(outbox)
        delivery = msgspec.convert(found[0][3], Delivery) if found else delivery
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"]) == ("retries_spent", "sms_notifications.high/0/3")
    assert [tried["reason"] for tried in letter["tried"]] == [f"reason_{number}" for number in range(4)]
    assert (letter["notification_id"], letter["channel"]) == (id_of(), "sms")
    again = msgspec.json.decode(msgspec.convert(letter["body"], bytes), type=Delivery)
    assert (again.notification_id, again.attempt) == (id_of(), 4)


def test_latency_counts_from_due_to_the_first_byte_and_a_call_that_reached_nobody_has_none() -> None:
    delivering = Delivering()
    work = delivering.announce(a_delivery(due_ms=NOW - 30))
    outbox = delivering.settle(Outcome(work, ruled(Kind.ACCEPTED), NOW + 12))
    labels = ("high", "sms", "twilio", "accepted")
    assert outbox.observed == [(metrics.LATENCY, labels, 42)]
    assert outbox.tally[metrics.SENT, labels] == 1
    for result, counted in ((NOT_STARTED, []), (ruled(Kind.UNAVAILABLE, "connect_failed"), [metrics.SENT])):
        never = Delivering()
        unmade = never.settle(Outcome(never.announce(a_delivery()), result, 0))
        assert unmade.observed == []
        assert [metric for metric, _ in unmade.tally if metric is metrics.SENT] == counted


@pytest.mark.parametrize("kind", [MessageClass.OTP, MessageClass.BILLING])
def test_a_call_cut_off_counts_for_the_provider_it_was_made_to(kind: MessageClass) -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=kind)
    outbox = delivering.settle(abandon(delivering.announce(delivery), started=True))
    labels = ("high", "sms", "twilio", "ambiguous")
    assert [key for key in outbox.tally if key[0] is metrics.SENT] == [(metrics.SENT, labels)]
    assert outbox.observed == [(metrics.LATENCY, labels, 0)]
    (tried,) = delivering.latest(delivery).tried
    assert (tried.provider, tried.sent, tried.reason) == ("twilio", "maybe", "cut_off")


@given(
    st.lists(st.tuples(st.sampled_from([*Kind]), st.floats(0, 1), st.none() | st.floats(0, DAY / 1000)), max_size=12)
)
def test_whatever_calls_come_to_a_delivery_ends_once_and_in_time(tale: list[tuple[Kind, float, float | None]]) -> None:
    for kind in MessageClass:
        delivering, delivery = Delivering(), a_delivery(message_class=kind)
        ends, calls = [], 0
        for offset, (outcome, draw, asked) in enumerate(tale):
            delivering.draw = draw
            later, outbox = delivering.run(delivered(delivery, offset))
            assert later is None
            for work in outbox.calls:
                calls += 1
                outbox = delivering.settle(Outcome(work, ruled(outcome, retry_after_s=asked), NOW))  # type: ignore[arg-type]
            found = waiting(outbox)
            ends += [step for step, _ in steps(outbox) if step != "retrying"]
            if found:
                delivery, delivering.world.clock.now = msgspec.convert(found[0][3], Delivery), found[0][2]
        assert len(ends) <= 1
        assert calls <= len(CLASSES[kind].backoff_s) + 2
        assert delivering.world.clock.now < delivery.deadline_ms
