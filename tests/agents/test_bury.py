"""bury: a dead letter holds its body sealed, and one too large for a record of ours goes by its position."""

import msgspec
import pytest

from agents.bury import bury, bury_culprit, post
from agents.stage import Outbox
from schemas import metrics, topics
from schemas.errors import Unsealable
from schemas.invalid import MAX_PART_BYTES
from schemas.records import MAX_INPUT_BYTES, DeadLetter, encode
from schemas.vocabulary import Lane, Reason
from tests.agents.world import NOW, RING, Record, id_of, steps, written

PLACE = "notifications.high/3/7"
KAFKA_LIMIT = 1_000_000
"""A little below what a broker takes by default: message.max.bytes is 1,048,588."""


def record(value: bytes | None, key: bytes | None = b"anna", topic: str = "notifications.high") -> Record:
    return Record(topic, 3, 7, NOW - 5, key, value, [("origin", b"notifications.high/1/1")])


def letter(found: Record, reason: Reason) -> DeadLetter:
    outbox = Outbox()
    post(outbox, found, PLACE, reason, NOW, RING)
    [(topic, key, value, _, _)] = outbox.records
    assert (topic, key) == (topics.DEAD_LETTERS.name, PLACE.encode())
    return msgspec.json.decode(value or b"", type=DeadLetter)


def test_the_body_and_the_key_are_sealed_for_their_place() -> None:
    dead = letter(record(b"+4915112345678"), Reason.INVALID)
    assert dead.body is not None
    assert dead.key is not None
    assert RING.open(dead.body, PLACE.encode()) == b"+4915112345678"
    assert RING.open(dead.key, PLACE.encode()) == b"anna"
    with pytest.raises(Unsealable):
        RING.open(dead.body, b"notifications.high/3/8")
    assert b"+4915112345678" not in encode(dead)


def test_a_body_too_large_goes_by_its_position() -> None:
    largest = letter(record(b"x" * MAX_INPUT_BYTES, b"k" * 100_000), Reason.INVALID)
    assert largest.body is not None
    assert len(encode(largest)) < KAFKA_LIMIT
    beyond = letter(record(b"x" * (MAX_INPUT_BYTES + 1)), Reason.TOO_LARGE)
    assert (beyond.body, beyond.position) == (None, PLACE)


def test_nothing_and_no_key_are_buried_as_such() -> None:
    dead = letter(record(None, None), Reason.NULL_RECORD)
    assert (dead.body, dead.key) == (None, None)


def test_a_dead_letter_says_whose_it_is_as_far_as_that_can_be_read() -> None:
    outbox = Outbox()
    value = b'{"tenant":"shop","user_id":"anna","idempotency_key":"order-1","params":{"code":"123'
    bury(outbox, record(value), Reason.UNREADABLE, NOW, RING, Lane.HIGH)
    (dead,) = written(outbox, topics.DEAD_LETTERS)
    assert (dead["tenant"], dead["user_id"], dead["idempotency_key"]) == ("shop", "anna", "order-1")
    assert dead["notification_id"] == id_of("order-1")
    (status,) = written(outbox, topics.STATUSES)
    assert (status["notification_id"], status["user_id"]) == ("", ""), "no row of the store follows from it"


def test_a_detail_of_any_kind_can_be_written_and_is_bounded() -> None:
    outbox = Outbox()
    post(outbox, record(b"{"), PLACE, Reason.STAGE_FAILED, NOW, RING, "a\ud800b\x00" + "x" * 2_000_000)
    (dead,) = written(outbox, topics.DEAD_LETTERS)
    assert dead["detail"] == "a?b\x00" + "x" * (MAX_PART_BYTES - 4)


def test_burying_decides_and_counts_under_the_position_of_its_producer() -> None:
    outbox = Outbox()
    bury(outbox, record(b"{", topic="misplaced.high"), Reason.UNREADABLE, NOW, RING, Lane.HIGH, "DecodeError")
    (dead,) = written(outbox, topics.DEAD_LETTERS)
    (status,) = written(outbox, topics.STATUSES)
    assert dead["position"] == status["position"] == "notifications.high/1/1"
    assert (dead["cause"], dead["detail"], dead["at_ms"]) == ("unreadable", "DecodeError", NOW)
    assert steps(outbox) == [("dead", "unreadable")]
    assert status["accepted_ms"] == NOW - 5
    assert outbox.tally == {
        (metrics.DECISIONS, ("high", "dead", "unreadable")): 1,
        (metrics.BURIED, ("route.high", "unreadable")): 1,
    }
    assert RING.open(msgspec.convert(dead["body"], bytes), b"notifications.high/1/1") == b"{"


def test_a_flow_that_decides_nothing_buries_a_culprit_where_it_lies_and_tells_no_status() -> None:
    outbox = Outbox()
    bury_culprit(RING, lambda: NOW)(record(b"{"), "ValueError", {}, outbox)
    (dead,) = written(outbox, topics.DEAD_LETTERS)
    assert (dead["position"], dead["cause"], dead["detail"]) == ("notifications.high/3/7", "stage_failed", "ValueError")
    assert written(outbox, topics.STATUSES) == []
