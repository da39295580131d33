"""deliver when a delivery comes again: a repeat is dropped, a replay says what followed, the unknown is told."""

from collections.abc import Mapping
from typing import cast

import msgspec
import pytest

from agents.attempt import Outcome, Work
from agents.provider import Kind, Result
from schemas import metrics, topics
from schemas.records import Delivery
from schemas.vocabulary import MessageClass
from tables.attempts import State
from tables.table import DictEntries
from tests.agents.world import (
    BILLING,
    MARKETING,
    NOW,
    OTP,
    RING,
    SENT,
    Delivering,
    a_delivery,
    delivered,
    ruled,
    steps,
    waiting,
    written,
)


def test_started_at_the_same_offset_is_unknown_and_makes_no_call() -> None:
    delivering, delivery = Delivering(), a_delivery()
    delivering.announce(delivery, 5)
    _, outbox = delivering.run(delivered(delivery, 5))
    assert outbox.calls == []
    assert steps(outbox) == [("unknown", "outcome_unknown")]
    assert delivering.latest(delivery).state == State.ENDED


def test_another_offset_with_the_same_attempt_is_a_repeat_and_dropped() -> None:
    delivering, delivery = Delivering(), a_delivery()
    delivering.announce(delivery, 5)
    later, outbox = delivering.run(delivered(delivery, 6))
    assert (later, outbox.calls, outbox.records) == (None, [], [])
    assert outbox.tally == {(metrics.REPEATS, ("high", "sms")): 1}


def test_a_decision_replayed_after_its_user_has_moved_is_a_repeat_and_calls_nobody_at_the_new_address() -> None:
    delivering, moved = Delivering(), a_delivery()
    delivering.announce(a_delivery(), 5)
    moved.address_hash = RING.address_hash(moved.tenant, "+4917699999999")
    _, outbox = delivering.run(delivered(moved, 9))
    assert (outbox.calls, outbox.records) == ([], [])


def test_a_key_used_again_after_the_dedup_window_is_delivered_again() -> None:
    delivering, delivery = Delivering(), a_delivery()
    delivering.attempt(delivery, ruled(Kind.ACCEPTED), 5)
    a_day_later = msgspec.structs.replace(delivery, accepted_ms=delivery.accepted_ms + 24 * 3600 * 1000)
    _, outbox = delivering.run(delivered(a_day_later, 6))
    assert len(outbox.calls) == 1


def test_a_repeat_within_a_batch_is_dropped_too() -> None:
    _, outbox = Delivering().run(delivered(a_delivery(), 5), delivered(a_delivery(), 6))
    assert len(outbox.calls) == 1


def test_attempts_of_a_batch_lie_each_in_the_partition_of_its_record() -> None:
    delivering, delivery = Delivering(), a_delivery()
    batch = [delivered(delivery, offset, partition=partition) for partition, offset in ((0, 5), (1, 3), (0, 6), (1, 4))]
    _, outbox = delivering.run(*batch)
    assert [(work.partition, work.offset) for work in cast(list[Work], outbox.calls)] == [(0, 5), (1, 3)]
    assert [delivering.latest(delivery, partition).offset for partition in (0, 1)] == [5, 3]
    assert len(delivering.world.tables["attempts"]) == 2
    _, again = delivering.run(batch[1])
    assert steps(again) == [("unknown", "outcome_unknown")]
    latest = [delivering.latest(delivery, partition).state for partition in (0, 1)]
    assert latest == [State.STARTED, State.ENDED]


def test_an_otp_of_unknown_outcome_goes_once_more_with_the_same_code_and_then_never() -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=OTP, params={"number": "424242"})
    first = delivering.announce(delivery, 5)
    ((_, to, due, body),) = waiting(delivering.run(delivered(delivery, 5))[1])
    assert (to, due) == ("sms_notifications.high", NOW + 1000)
    again = msgspec.convert(body, Delivery)
    assert (again.attempt, again.possible_duplicate) == (2, True)
    second = delivering.announce(again, 6)
    assert second.message.parts == first.message.parts == {"body": "Order 424242"}
    outbox = delivering.settle(Outcome(second, ruled(Kind.AMBIGUOUS), NOW))
    assert steps(outbox) == [("unknown", "outcome_unknown")]
    assert waiting(outbox) == []
    assert [tried["sent"] for tried in written(outbox, topics.DEAD_LETTERS)[0]["tried"]] == ["maybe", "maybe"]


def test_an_otp_of_unknown_outcome_is_not_repeated_past_its_deadline() -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=OTP, deadline_ms=NOW + 1000)
    delivering.announce(delivery, 5)
    outbox = delivering.run(delivered(delivery, 5))[1]
    assert steps(outbox) == [("unknown", "outcome_unknown")]
    assert waiting(outbox) == []


@pytest.mark.parametrize("kind", [MARKETING, MessageClass.TRANSACTIONAL, BILLING])
@pytest.mark.parametrize("how", ["cut off", "ambiguous"])
def test_what_may_have_been_sent_goes_to_the_dead_letters_and_is_never_repeated(kind: MessageClass, how: str) -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=kind)
    work = delivering.announce(delivery, 5)
    if how == "cut off":
        outbox = delivering.run(delivered(delivery, 5))[1]
    else:
        outbox = delivering.settle(Outcome(work, ruled(Kind.AMBIGUOUS), NOW))
    assert steps(outbox) == [("unknown", "outcome_unknown")]
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    (tried,) = letter["tried"]
    assert (letter["cause"], tried["sent"], tried["provider"]) == ("outcome_unknown", "maybe", "twilio")
    assert waiting(outbox) == []
    assert delivering.run(delivered(delivery, 9))[1].calls == []


RESULTS: dict[str, Result] = {
    "sent": SENT,
    "retryable": ruled(Kind.UNAVAILABLE),
    "told to wait": ruled(Kind.THROTTLED, retry_after_s=60.0),
    "refused": ruled(Kind.REJECTED_REQUEST),
    "dead number": ruled(Kind.REJECTED_RECIPIENT, "dead_number", suppress=True),
    "opted out": ruled(Kind.OPTED_OUT, "stop", suppress=True),
    "unknown": ruled(Kind.AMBIGUOUS),
}


@pytest.mark.parametrize("how", RESULTS)
@pytest.mark.parametrize("kind", [OTP, BILLING])
def test_a_replay_says_again_exactly_what_followed_and_makes_no_call(kind: MessageClass, how: str) -> None:
    delivering, delivery = Delivering(), a_delivery(message_class=kind)
    followed = delivering.attempt(delivery, RESULTS[how], 5)
    before = delivering.latest(delivery)
    _, again = delivering.run(delivered(delivery, 5))
    assert again.calls == []
    assert sorted(again.records) == sorted(followed.records)
    assert again.records != []
    assert delivering.latest(delivery) == before


def test_a_replay_of_an_attempt_that_never_began_says_again_that_it_spent_none() -> None:
    delivering, delivery = Delivering(), a_delivery(attempt=3, unspent=1)
    followed = delivering.settle(Outcome(delivering.announce(delivery, 5), ruled(Kind.UNAVAILABLE), 0))
    _, again = delivering.run(delivered(delivery, 5))
    assert (again.calls, again.records) == ([], followed.records)
    ((_, _, _, body),) = waiting(again)
    assert (body["attempt"], body["unspent"]) == (4, 2)


class Logged(DictEntries):
    """A table that says what was written to it, which is what its changelog gets."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        super().__init__(entries)
        self.writes: dict[bytes, bytes] = {}

    def __setitem__(self, key: bytes, entry: bytes, /) -> None:
        super().__setitem__(key, entry)
        self.writes[key] = entry


def test_a_replay_writes_its_entry_again_since_a_killed_process_may_not_have_logged_it() -> None:
    delivering, delivery = Delivering(), a_delivery()
    delivering.attempt(delivery, SENT, 5)
    known = dict(delivering.world.tables["attempts"])
    delivering.world.tables["attempts"] = entries = Logged(known)
    delivering.run(delivered(delivery, 5))
    assert entries.writes == known


def test_the_next_attempt_goes_after_a_retryable_outcome_and_only_then() -> None:
    delivering, delivery = Delivering(), a_delivery()
    ((_, _, _, body),) = waiting(delivering.attempt(delivery, ruled(Kind.UNAVAILABLE), 5))
    second = msgspec.convert(body, Delivery)
    assert second.attempt == 2
    assert delivering.announce(second, 6).message.ref.endswith(".2")
    ended = Delivering()
    ended.attempt(delivery, SENT, 5)
    assert ended.run(delivered(second, 6))[1].calls == []
