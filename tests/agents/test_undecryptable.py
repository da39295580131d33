"""What route wrote itself and no key here opens: it waits with an alarm, and is decided once a process has the key."""

from typing import Any

import msgspec
import pytest

from agents.retry import retry
from agents.stage import Outbox
from schemas import metrics, topics
from schemas.records import encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tests.agents.world import HOME, HOUR, NOW, RING, Record, World, asked, id_of, steps, waiting, written

FROM = [("origin", b"notifications.high/1/7")]
FOREIGN = KeyRing({1: bytes(32)}, bytes(32))


def unopened(topic: topics.Topic, at: int = NOW, **changes: Any) -> Record:
    """What the engine wrote with another ring than ours."""
    told = msgspec.json.decode(asked(topic=topic, **changes).value or b"")
    value = encode(told | {"sealed_params": FOREIGN.seal(b'{"number":"4711"}', id_of().encode())})
    return Record(topic.name, HOME, 3, at, b"anna", value, FROM)


def come_back(outbox: Outbox, *, sealed_by: KeyRing) -> Record:
    """What waits, as its waiting room releases it, read by a process whose ring is ours or not."""
    ((room, to, due, body),) = waiting(outbox)
    (headers,) = [headers for name, _, _, _, headers in outbox.records if name == f"retries.high.{room}"]
    if sealed_by is RING:
        body["sealed_params"] = msgspec.to_builtins(RING.seal(b'{"number":"4711"}', id_of().encode()))
    record = Record(f"retries.high.{room}", 0, 0, NOW, b"anna", encode(body), headers or ())
    released = Outbox()
    assert retry(Lane.HIGH, RING, lambda: due)([record], {}, released) is None
    [(topic, key, value, _, headers)] = released.records
    assert topic == to
    return Record(topic, HOME, 4, due, key, value, headers or ())


def test_what_returns_and_does_not_open_is_held_with_an_alarm_as_it_lies() -> None:
    world, topic = World().knows(), topics.returns(Lane.HIGH)
    outbox = world.route(unopened(topic, tries=2, accepted_ms=NOW - HOUR))
    ((room, to, due, body),) = waiting(outbox)
    assert (room, to, due) == ("30s", topic.name, NOW + 30_000)
    assert (body["tries"], body["accepted_ms"]) == (2, NOW - HOUR), "no look-up of its user was made"
    assert steps(outbox) == [("held", "undecryptable")]
    assert outbox.tally[metrics.UNDECRYPTABLE, ("route.high",)] == 1
    assert steps(world.route(come_back(outbox, sealed_by=RING))) == [("routed", "")]


def test_what_was_keyed_again_and_does_not_open_comes_back_before_dedup_under_its_origin() -> None:
    world, topic = World().knows(), topics.misplaced(Lane.HIGH)
    outbox = world.route(unopened(topic))
    assert (steps(outbox), outbox.tally) == ([], {(metrics.UNDECRYPTABLE, ("route.high",)): 1})
    assert waiting(outbox)[0][1] == topic.name
    back = come_back(outbox, sealed_by=RING)
    outbox = world.route(back)
    assert steps(outbox) == [("routed", "")]
    [told] = written(outbox, topics.STATUSES)
    assert (told["position"], told["accepted_ms"]) == ("notifications.high/1/7", NOW)
    assert steps(world.route(asked(9))) == [("duplicate", "same_request")]


@pytest.mark.parametrize("topic", [topics.misplaced(Lane.HIGH), topics.returns(Lane.HIGH)])
def test_what_does_not_open_until_its_deadline_expires_then_and_says_so(topic: topics.Topic) -> None:
    world, record = World().knows(), unopened(topic, **{"class": "otp"})
    for _ in range(10):
        outbox = world.route(record)
        assert waiting(outbox)
        record = come_back(outbox, sealed_by=FOREIGN)
        world.clock.now = record.timestamp
    assert world.clock.now == NOW + 300_000
    assert steps(world.route(record)) == [("expired", "undecryptable")]
