"""admit: every way in which an input record can be poison, misplaced or late, and what becomes of each."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from agents.admit import MOST_LEVELS, admit
from agents.stage import Outbox
from schemas import metrics, topics
from schemas.keys import partition_of
from schemas.records import MAX_INPUT_BYTES, MAX_VALUE_BYTES
from schemas.vocabulary import CLASSES, Lane, MessageClass
from tests.agents.world import (
    DAY,
    HOME,
    HOUR,
    NOW,
    PARTITIONS,
    RING,
    Clock,
    Record,
    World,
    asked,
    deliveries,
    id_of,
    raw,
    request,
    steps,
    written,
)


def body(**changes: Any) -> bytes:
    return msgspec.json.encode(request(**changes))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"1" + b"]" * depth


POISON = {
    "not JSON": (b"{", "unreadable"),
    "an empty value": (b"", "unreadable"),
    "no UTF-8": (body().replace(b'"anna"', b'"\xff\xfe"'), "unreadable"),
    "a lone surrogate": (body().replace(b'"anna"', b'"\\ud800"'), "unreadable"),
    "a number that is none": (body().replace(b'"4711"', b"NaN"), "unreadable"),
    "nested without end": (body()[:-1] + b',"more":' + nested(50_000) + b"}", "unreadable"),
    "nested without end behind a wrong field": (b'{"tenant":5,"more":' + nested(50_000) + b"}", "invalid"),
    "null": (None, "null_record"),
    "JSON null": (b"null", "invalid"),
    "no object": (b"[1]", "invalid"),
    "an empty object": (b"{}", "invalid"),
    "a field of another type": (body(user_id=5), "invalid"),
    "an empty user": (body(user_id=""), "invalid"),
    "a user too long": (body(user_id="u" * 257), "invalid"),
    "a user with a separator": (body(user_id="anna\x1fx"), "invalid"),
    "a tenant with a separator": (body(tenant="shop\x1fx"), "invalid"),
    "an unknown class": (body(**{"class": "urgent"}), "invalid"),
    "a deadline without its zone": (body(deadline="2027-01-15T08:00:00"), "invalid"),
    "no channel": (body(channels=""), "invalid"),
    "an empty list of channels": (body(channels=[]), "invalid"),
    "an unknown channel": (body(channels="fax"), "unknown_channel"),
    "an unknown channel among known ones": (body(channels=["sms", "fax"]), "unknown_channel"),
    "best among others": (body(channels=["best"]), "unknown_channel"),
    "a class of the other lane": (body(**{"class": "marketing"}), "wrong_lane"),
    "a version of more than 64 bits": (body(template_version=10**30), "invalid"),
    "fields of the engine's own": (body(round=2), "invalid"),
    "a newer major": (body(schema=2), "newer_schema"),
    "a newer major that looks different": (body(schema=2, channels={"any": 1}), "newer_schema"),
    "a name of too many bytes": (body(user_id="\U0001f600" * 65), "too_large"),
    "an escaped name of too many bytes": (json.dumps(request(template_id="\U0001f600" * 65)).encode(), "too_large"),
    "a name with the separator": (body(category="a\x1fb"), "invalid"),
    "more channels than there can be": (body(channels=["sms"] * 33), "invalid"),
    "more than is taken": (body(params={"text": "x" * MAX_INPUT_BYTES}), "too_large"),
}


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_buried_with_its_reason_and_stops_nobody(kind: str) -> None:
    value, reason = POISON[kind]
    outbox = World().knows().route(asked(0, idempotency_key="before"), raw(value, 1), asked(2, idempotency_key="after"))
    assert steps(outbox) == [("dead", reason), ("routed", ""), ("routed", "")]
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert letter["cause"] == reason
    assert letter["position"] == f"{raw(None).topic}/{raw(None).partition}/1"
    assert outbox.tally[metrics.DECISIONS, ("high", "dead", reason)] == 1


WHY: dict[str, tuple[dict[str, Any], str]] = {
    "a class of the other lane": ({"class": "marketing"}, "`$.class`: marketing is for notifications.low"),
    "a class in capitals": ({"class": "OTP"}, "`$.class`: expected one of otp, transactional, billing, marketing"),
    "an unknown channel": (
        {"channels": "fax"},
        "`$.channels`: expected best, or one or several of push, sms, email",
    ),
    "no channel": ({"channels": []}, "`$.channels`: expected best, or one or several of push, sms, email, got none"),
    "a newer major": ({"schema": 10**400}, "`$.schema`: this reader knows 1"),
    "fields of the engine's own": (
        {"round": 2, "sealed_params": "AA=="},
        "only the engine writes `$.sealed_params`, `$.round`",
    ),
}


@pytest.mark.parametrize("kind", WHY)
def test_a_dead_letter_says_which_field_is_wrong_and_whose_record_it_is(kind: str) -> None:
    changes, why = WHY[kind]
    (letter,) = written(World().route(raw(json.dumps(request(**changes)).encode())), topics.DEAD_LETTERS)
    assert letter["detail"] == why
    assert (letter["tenant"], letter["user_id"], letter["idempotency_key"]) == ("shop", "anna", "order-1")
    assert letter["notification_id"] == id_of("order-1")


def test_a_dead_letter_opens_again_at_its_place_and_nowhere_else() -> None:
    outbox = World().route(raw(b"{broken"))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    sealed = msgspec.json.decode(b'"' + letter["body"].encode() + b'"', type=bytes)
    assert RING.open(sealed, letter["position"].encode()) == b"{broken"


def test_unknown_fields_are_no_poison() -> None:
    assert steps(World().knows().route(asked(colour="blue", more={"a": [1]}))) == [("routed", "")]


@pytest.mark.parametrize("key", [b"anna", b"somebody", None])
def test_a_misplaced_record_is_keyed_again_before_dedup_and_says_where_it_came_from(key: bytes | None) -> None:
    world, place = World().knows(), partition_of(b"anna", PARTITIONS)
    elsewhere = Record("notifications.high", (place + 1) % PARTITIONS, 7, NOW, key, body())
    outbox = world.route(elsewhere)
    origin = f"notifications.high/{elsewhere.partition}/7".encode()
    [(topic, key_again, value, partition, headers)] = outbox.records
    assert (topic, key_again, partition, headers) == ("misplaced.high", b"anna", -1, [("origin", origin)])
    again = Record(topic, place, 0, NOW, key_again, value, headers or ())
    assert steps(world.route(again)) == [("routed", "")]
    assert outbox.tally == {(metrics.MISPLACED, ("high",)): 1}
    at_home = Record("notifications.high", place, 8, NOW, key, body())
    assert steps(world.route(at_home)) == [("duplicate", "same_request")], "sealed, it is the same request"


def test_a_misplaced_record_owns_no_key_before_it_is_in_its_place_and_is_sealed_on_its_way() -> None:
    world, place = World().knows(), partition_of(b"anna", PARTITIONS)
    outbox = world.route(Record("notifications.high", (place + 1) % PARTITIONS, 7, NOW, b"anna", body()))
    assert not world.tables["dedup"]
    assert b"4711" not in (outbox.records[0][2] or b"")


@pytest.mark.parametrize("topic", [topics.misplaced(Lane.HIGH), topics.returns(Lane.HIGH)])
def test_where_only_the_engine_writes_a_plain_record_is_dead(topic: topics.Topic) -> None:
    outbox = (
        World()
        .knows()
        .route(Record(topic.name, HOME, 0, NOW, b"anna", asked().value, [("origin", b"notifications.high/1/7")]))
    )
    assert steps(outbox) == [("dead", "invalid")]


def test_the_largest_notification_still_goes_round_when_sealing_has_made_it_larger() -> None:
    room = MAX_INPUT_BYTES - len(body(params={"text": ""}))
    largest = asked(params={"text": "x" * room})
    assert len(largest.value or b"") == MAX_INPUT_BYTES
    [(_, _, value, _, _)] = (
        World()
        .knows()
        .route(Record(largest.topic, (largest.partition + 1) % PARTITIONS, 0, NOW, b"anna", largest.value))
        .records
    )
    assert len(value or b"") > MAX_INPUT_BYTES
    again = Record("misplaced.high", largest.partition, 0, NOW, b"anna", value, [("origin", b"notifications.high/0/0")])
    assert steps(World().knows().route(again)) == [("routed", "")]


def test_params_that_take_more_room_once_written_out_than_a_record_of_ours_has_are_buried_as_too_large() -> None:
    value = body(params={"n": "numbers"}).replace(b'"numbers"', b"[" + b",".join([b"1e15"] * 40_000) + b"]")
    assert len(value) < MAX_INPUT_BYTES
    outbox = World().knows().route(raw(value))
    assert steps(outbox) == [("dead", "too_large")]
    assert all(len(sent[2] or b"") <= MAX_VALUE_BYTES for sent in outbox.records)


def test_a_record_keyed_again_is_decided_under_its_first_position() -> None:
    again = asked(3, topic=topics.misplaced(Lane.HIGH), headers=[("origin", b"notifications.high/1/7")])
    outbox = World().knows().route(again)
    assert [status["position"] for status in written(outbox, topics.STATUSES)] == ["notifications.high/1/7"]


def test_input_older_than_the_window_is_expired_but_what_returns_is_not() -> None:
    later = (NOW + 30 * DAY) / 1000
    late = {
        "at": NOW - DAY - 1,
        "deadline": msgspec.to_builtins(msgspec.convert(later, __import__("datetime").datetime, strict=False)),
    }
    assert steps(World().knows().route(asked(**late))) == [("expired", "past_window")]
    assert steps(World().knows().route(asked(topic=topics.returns(Lane.HIGH), **late))) == [("routed", "")]
    assert steps(World().knows().route(asked(**late | {"at": NOW - DAY}))) == [("routed", "")]


@pytest.mark.parametrize("kind", [kind for kind in MessageClass if CLASSES[kind].lane is Lane.HIGH])
def test_without_a_deadline_the_class_decides_from_the_append(kind: MessageClass) -> None:
    ahead = CLASSES[kind].deadline_s * 1000
    within = min(ahead - 1, DAY)
    world = World().knows()
    (first,) = deliveries(world.route(asked(at=NOW - within, **{"class": kind})))
    assert first.deadline_ms == NOW - within + ahead
    if ahead <= DAY:
        assert steps(World().knows().route(asked(at=NOW - ahead, **{"class": kind}))) == [("expired", "past_deadline")]


def test_the_design_s_deadlines_are_those_of_the_classes() -> None:
    hours = {kind.value: rule.deadline_s * 1000 / HOUR for kind, rule in CLASSES.items()}
    assert hours == {"otp": 5 / 60, "transactional": 24, "billing": 72, "marketing": 24}


def test_a_deadline_that_has_come_expires_and_one_ahead_is_kept_to_the_millisecond() -> None:
    came, ahead = "2027-01-15T08:00:00.000Z", "2027-01-15T10:00:00.001+02:00"
    assert steps(World().knows().route(asked(deadline=came))) == [("expired", "past_deadline")]
    (sent,) = deliveries(World().knows().route(asked(deadline=ahead)))
    assert sent.deadline_ms == NOW + 1


def test_a_deadline_beyond_the_last_year_of_the_calendar_is_its_end_and_one_before_the_first_has_come() -> None:
    (sent,) = deliveries(World().knows().route(asked(deadline="9999-12-31T23:59:59-23:59")))
    assert datetime.fromtimestamp(sent.deadline_ms / 1000, UTC).year == 9999
    assert steps(World().knows().route(asked(deadline="0001-01-01T00:00:00+23:59"))) == [("expired", "past_deadline")]


def test_params_nest_as_deep_as_every_stage_can_read() -> None:
    def of_levels(levels: int) -> Record:
        return asked(params={"a": json.loads(nested(levels - 1))})

    assert steps(World().knows().route(of_levels(MOST_LEVELS))) == [("routed", "")]
    wide = asked(params={"a": [[] for _ in range(1000)]})
    assert steps(World().knows().route(wide)) == [("routed", "")], "a great many are no deep ones"
    outbox = World().knows().route(of_levels(MOST_LEVELS + 1))
    assert [letter["detail"] for letter in written(outbox, topics.DEAD_LETTERS)] == [
        "`$.params`: expected at most 64 levels"
    ]


def test_each_lane_takes_its_own_classes_and_only_those() -> None:
    for lane in Lane:
        for kind, rule in CLASSES.items():
            outbox, record = Outbox(), asked(**{"class": kind})
            admitted = admit(lane, RING, PARTITIONS, Clock())([record], {}, outbox)
            assert bool(admitted) == (rule.lane is lane)
