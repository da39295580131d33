"""dedup: the whole rule, a claim a test; `test_dedup_model.py` tries it against crashes and lost writes."""

from typing import Any

import msgspec
import pytest

from agents.dedup import dedup, request_digest
from agents.intake import Intake
from agents.stage import Outbox
from schemas import topics
from schemas.channels import CHANNELS
from schemas.keys import at, partition_of
from schemas.records import Notification, Status, canonical
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, MessageClass
from tables.dedup import GENERATION, unpack
from tables.progress import fold
from tests.agents.world import (
    DAY,
    HOME,
    HOUR,
    NOW,
    PARTITIONS,
    RING,
    Record,
    World,
    asked,
    deliveries,
    id_of,
    steps,
    written,
)


def owner(world: World, key: str = "order-1") -> tuple[int, int, int]:
    """(source, offset, channel bits) of the record that owns a key."""
    found = unpack(world.tables["dedup"][at(HOME, id_of(key).encode())])
    assert found.generation == GENERATION
    return found.source, found.offset, found.channels


def test_the_same_offset_is_our_own_replay_and_goes_as_it_went() -> None:
    world = World().knows()
    first, again = world.route(asked(5)), world.route(asked(5))
    assert steps(first) == steps(again) == [("routed", "")]
    sent = [[(d.channel, d.address_hash, d.notification_id) for d in deliveries(out)] for out in (first, again)]
    assert sent[0] == sent[1]
    assert owner(world) == (0, 5, CHANNELS["sms"].bit)


def test_another_offset_with_the_same_request_is_a_duplicate() -> None:
    world = World().knows()
    world.route(asked(5))
    outbox = world.route(asked(6, at=NOW + 1))
    assert steps(outbox) == [("duplicate", "same_request")]
    assert not deliveries(outbox)
    assert owner(world)[1] == 5


def test_another_offset_with_another_request_is_a_conflict_and_dead() -> None:
    world = World().knows()
    world.route(asked(5))
    for changed in ({"params": {"number": "4712"}}, {"template_id": "other"}, {"channels": "email"}, {"category": "x"}):
        outbox = world.route(asked(6, **changed))
        assert steps(outbox) == [("dead", "conflict")]
        (letter,) = written(outbox, topics.DEAD_LETTERS)
        before = f"its idempotency key asked for something else at notifications.high/{HOME}/5"
        assert (letter["cause"], letter["detail"]) == ("conflict", before)
    assert owner(world)[1] == 5


def test_the_producer_s_clock_and_the_order_of_params_take_no_part() -> None:
    world = World().knows()
    world.route(asked(5, params={"a": 1, "b": 2}, produced_at="2027-01-15T08:00:00Z"))
    outbox = world.route(asked(6, params={"b": 2, "a": 1}, produced_at="2027-01-15T09:00:00Z"))
    assert steps(outbox) == [("duplicate", "same_request")]


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one channel and a list of it": ({"channels": "sms"}, {"channels": ["sms"]}),
    "one channel twice": ({"channels": "sms"}, {"channels": ["sms", "sms"]}),
    "channels in another order": ({"channels": ["sms", "email"]}, {"channels": ["email", "sms", "email"]}),
    "the case of a category": ({"category": "orders"}, {"category": "Orders"}),
    "a deadline in another zone": (
        {"deadline": "2027-01-15T09:00:00Z"},
        {"deadline": "2027-01-15T10:30:00.000+01:30"},
    ),
    "1 and 1.0": ({"params": {"n": 1, "deep": [{"n": 100}]}}, {"params": {"n": 1.0, "deep": [{"n": 1e2}]}}),
    "no sign of nothing": ({"params": {"n": 0}}, {"params": {"n": -0.0}}),
    "large numbers": ({"params": {"n": 10**21}}, {"params": {"n": 1e21}}),
    "the order of params": ({"params": {"a": 1.5, "b": 1}}, {"params": {"b": 1.0, "a": 1.5}}),
}
DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "best and a channel": ({"channels": "best"}, {"channels": "sms"}),
    "best and all channels": ({"channels": "best"}, {"channels": list(CHANNELS)}),
    "a channel more": ({"channels": "sms"}, {"channels": ["sms", "email"]}),
    "a number and its text": ({"params": {"n": 1}}, {"params": {"n": "1"}}),
    "one and true": ({"params": {"n": 1}}, {"params": {"n": True}}),
    "a fraction": ({"params": {"n": 1}}, {"params": {"n": 1.5}}),
    "the order of a list": ({"params": {"n": [1, 2]}}, {"params": {"n": [2, 1]}}),
    "a deadline": ({"deadline": "2027-01-15T09:00:00Z"}, {"deadline": "2027-01-15T09:00:00.001Z"}),
    "no deadline": ({}, {"deadline": "2027-01-15T09:00:00Z"}),
}


@pytest.mark.parametrize("kind", SAME)
def test_a_request_written_in_another_way_is_the_same_request(kind: str) -> None:
    first, again = SAME[kind]
    world, misplaced = World().knows(), topics.misplaced(Lane.HIGH)
    assert steps(world.route(asked(5, **first))) == [("routed", "")]
    assert steps(world.route(asked(6, **again))) == [("duplicate", "same_request")]
    sealed = asked(0, topic=misplaced, headers=[("origin", b"notifications.high/3/7")], **again)
    assert steps(world.route(sealed)) == [("duplicate", "same_request")], "keyed again it is the same request, too"


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_request_of_another_meaning_is_a_conflict(kind: str) -> None:
    first, again = DIFFERENT[kind]
    world = World().knows()
    assert steps(world.route(asked(5, **first))) == [("routed", "")]
    assert steps(world.route(asked(6, **again))) == [("dead", "conflict")]


def test_params_are_passed_on_as_the_producer_wrote_them() -> None:
    (sent,) = deliveries(World().knows().route(asked(params={"n": 1.0, "m": 1e21})))
    assert RING.open(sent.params, id_of().encode()) == b'{"m":1e21,"n":1.0}'


SOON = "2027-01-15T08:05:00Z"
"""Five minutes after NOW."""


def test_a_repeat_after_an_explicit_deadline_is_a_duplicate_and_the_row_of_a_suppressed_one_stays() -> None:
    world = World().knows(opt_outs=[{"channel": "sms"}])
    first = world.route(asked(5, deadline=SOON))
    assert steps(first) == [("suppressed", "opted_out")]
    world.clock.now = NOW + HOUR
    again = world.route(asked(6, at=NOW + HOUR, deadline=SOON))
    assert steps(again) == [("duplicate", "same_request")]
    row = None
    for told in (*written(first, topics.STATUSES), *written(again, topics.STATUSES)):
        row = fold(row, msgspec.convert(told, Status)) or row
    assert row is not None
    assert (row.step, row.reason) == ("suppressed", "opted_out")
    assert steps(world.route(asked(7, deadline=SOON, channels="push"))) == [("dead", "conflict")]


def test_what_expired_before_it_was_decided_leaves_its_key_to_the_next() -> None:
    world = World().knows()
    world.clock.now = NOW + HOUR
    late, next_ = asked(5, **{"class": "otp"}), asked(6, at=NOW + HOUR, **{"class": "otp"})
    assert steps(world.route(late, next_)) == [("expired", "past_deadline"), ("routed", "")]


def test_a_replay_past_its_deadline_expires_and_its_repeat_is_still_one() -> None:
    world = World().knows()
    assert steps(world.route(asked(5, deadline=SOON))) == [("routed", "")]
    world.clock.now = NOW + HOUR
    outbox = world.route(asked(5, deadline=SOON), asked(6, deadline=SOON))
    assert steps(outbox) == [("expired", "past_deadline"), ("duplicate", "same_request")]


def test_a_key_is_owned_for_24_hours_of_append_time_and_not_a_millisecond_longer() -> None:
    world = World().knows()
    world.route(asked(5))
    world.clock.now = NOW + DAY
    assert steps(world.route(asked(6, at=NOW + DAY - 1))) == [("duplicate", "same_request")]
    assert steps(world.route(asked(7, at=NOW + DAY))) == [("routed", "")]
    assert owner(world)[1] == 7


def test_a_repeat_seen_again_behind_the_next_owner_is_still_a_repeat() -> None:
    world = World().knows()
    world.route(asked(5))
    world.clock.now = NOW + DAY
    for _ in range(2):
        assert steps(world.route(asked(6, at=NOW + DAY - 1))) == [("duplicate", "same_request")]
        assert steps(world.route(asked(7, at=NOW + DAY))) == [("routed", "")]


def test_repeats_within_one_batch_end_too() -> None:
    outbox = World().knows().route(asked(5), asked(6), asked(7, category="x"), asked(8, idempotency_key="order-2"))
    assert sorted(steps(outbox)) == [
        ("dead", "conflict"),
        ("duplicate", "same_request"),
        ("routed", ""),
        ("routed", ""),
    ]
    assert len(deliveries(outbox)) == 2


def test_a_misplaced_record_owns_its_key_by_where_its_producer_wrote_it() -> None:
    world, misplaced = World().knows(), topics.misplaced(Lane.HIGH)
    first = [("origin", b"notifications.high/3/5")]
    assert steps(world.route(asked(0, topic=misplaced, headers=first))) == [("routed", "")]
    assert owner(world)[:2] == (1, 5)
    assert steps(world.route(asked(5))) == [("duplicate", "same_request")], "the same offset, in its place"
    again = asked(1, topic=misplaced, headers=first)
    assert steps(world.route(again)) == [("routed", "")], "a replay keys it again further on"
    other = asked(2, topic=misplaced, headers=[("origin", b"notifications.high/3/6")])
    assert steps(world.route(other)) == [("duplicate", "same_request")]


def test_a_replay_of_what_was_decided_against_keeps_its_owner() -> None:
    world = World().knows(addresses=[])
    assert steps(world.route(asked(5))) == [("suppressed", "no_address")]
    assert steps(world.route(asked(5))) == [("suppressed", "no_address")]
    assert owner(world) == (0, 5, 0)
    assert steps(world.route(asked(6))) == [("duplicate", "same_request")]


def test_what_returns_passes_behind_dedup_and_owns_nothing() -> None:
    world = World().knows()
    world.route(asked(5))
    before = dict(world.tables["dedup"])
    assert steps(world.route(asked(0, topic=topics.returns(Lane.HIGH), tries=1))) == [("routed", "")]
    assert world.tables["dedup"] == before


def test_tenants_lanes_and_users_do_not_share_keys() -> None:
    world = World().knows().knows("bert").knows(tenant="bank")
    low = World(lane=Lane.LOW, tables=world.tables).knows()
    requests = [asked(0), asked(1, tenant="bank"), asked(2, user_id="bert")]
    assert steps(world.route(*requests)) == [("routed", "")] * 3
    there: Record = asked(0, topic=topics.notifications(Lane.LOW), **{"class": "marketing"})
    assert steps(low.route(there)) == [("routed", "")]
    assert len(world.tables["dedup"]) == 4


def test_what_a_batch_asks_for_in_two_partitions_is_owned_in_each() -> None:
    world, users = World().knows().knows("bert"), ("anna", "bert")
    batch = [asked(offset, user_id=users[offset % 2]) for offset in range(4)]
    assert sorted(steps(world.route(*batch))) == [("duplicate", "same_request")] * 2 + [("routed", "")] * 2
    homes = [partition_of(user.encode(), PARTITIONS) for user in users]
    owners = {key: unpack(entry)[1:4] for key, entry in world.tables["dedup"].items()}
    assert homes[0] != homes[1]
    assert owners == {
        at(home, id_of(user=user).encode()): (0, home, offset)
        for offset, (home, user) in enumerate(zip(homes, users, strict=True))
    }


def test_an_owner_in_one_partition_owns_nothing_in_another() -> None:
    world, stage = World(), dedup(Lane.HIGH, RING, lambda: NOW)
    asked_for = Notification(
        tenant="shop",
        idempotency_key="order-1",
        user_id="anna",
        channels="sms",
        category="orders",
        message_class=MessageClass.OTP,
        template_id="order",
    )
    places = [(0, 5), (1, 3), (0, 6), (1, 4)]
    records = [Record("notifications.high", partition, offset, NOW, b"anna", b"") for partition, offset in places]
    items = [Intake(record, asked_for, id_of(), b"{}", NOW, NOW + DAY) for record in records]
    outbox = Outbox()
    assert stage(items, world.tables, outbox) == items[:2]
    assert steps(outbox) == [("duplicate", "same_request")] * 2
    owners = {key: unpack(entry)[1:4] for key, entry in world.tables["dedup"].items()}
    assert owners == {at(0, id_of().encode()): (0, 0, 5), at(1, id_of().encode()): (0, 1, 3)}


def test_a_digest_is_keyed_and_says_nothing_of_the_request() -> None:
    request = Notification(
        tenant="shop",
        idempotency_key="k",
        user_id="anna",
        channels="sms",
        category="c",
        message_class=MessageClass.OTP,
        template_id="t",
        params={"code": "424242"},
    )
    params = canonical(request.params)
    other = KeyRing({1: bytes(32)}, bytes([1] * 32))
    assert len(request_digest(request, params, RING)) == 8
    assert request_digest(request, params, RING) != request_digest(request, params, other)
