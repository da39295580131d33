"""enrich: who is unknown is asked for again after 1, 2 and 4 s, and then suppressed."""

import msgspec

from agents.enrich import UNKNOWN_WAITS_S
from schemas import topics
from schemas.keys import at, user_key
from schemas.vocabulary import Lane
from tests.agents.world import (
    HOME,
    NOW,
    RING,
    Record,
    World,
    asked,
    deliveries,
    id_of,
    preference_key,
    steps,
    waiting,
)


def test_an_unknown_user_is_held_for_1_2_and_4_seconds_and_then_suppressed() -> None:
    world, record, waits = World(), asked(), []
    for turn in range(3):
        outbox = world.route(record)
        assert steps(outbox) == [("held", "unknown_user")]
        ((room, to, due, body),) = waiting(outbox)
        assert to == "returns.high"
        assert room == f"{2**turn}s"
        waits.append((due - world.clock.now) / 1000)
        world.clock.now = due
        record = asked(turn, topic=topics.returns(Lane.HIGH), at=due)
        record = Record(record.topic, record.partition, turn, due, b"anna", msgspec.json.encode(body))
    assert waits == [1, 2, 4] == list(UNKNOWN_WAITS_S)
    assert steps(world.route(record)) == [("suppressed", "unknown_user")]


def test_each_of_a_batch_is_known_by_the_preference_in_its_own_partition() -> None:
    world = World().knows(preferred=["sms"]).knows("bert", preferred=["email"])
    sent = deliveries(world.route(asked(0, channels="best"), asked(1, channels="best", user_id="bert")))
    assert [(delivery.user_id, delivery.channel) for delivery in sent] == [("anna", "sms"), ("bert", "email")]


def test_a_preference_in_another_partition_is_nobody_s() -> None:
    world = World().knows()
    entries = world.tables["preferences"]
    entries[at(HOME - 1, user_key("shop", "anna"))] = entries.pop(preference_key())
    assert steps(world.route(asked())) == [("held", "unknown_user")]


def test_a_held_notification_goes_on_as_it_was_asked_once_the_user_is_known() -> None:
    world = World()
    ((_, _, due, body),) = waiting(world.route(asked(deadline="2027-01-15T20:00:00Z", collapse_key="one")))
    world.knows().clock.now = due
    back = asked(topic=topics.returns(Lane.HIGH), at=due)
    (sent,) = deliveries(world.route(Record(back.topic, back.partition, 0, due, b"anna", msgspec.json.encode(body))))
    assert RING.open(sent.params, id_of().encode()) == b'{"number":"4711"}'
    assert (sent.accepted_ms, sent.deadline_ms, sent.due_ms) == (NOW, NOW + 12 * 3_600_000, due)
    assert (sent.collapse_key, sent.template_id, sent.round) == ("one", "order", 1)


def test_a_held_notification_carries_its_params_sealed_only() -> None:
    ((_, _, _, body),) = waiting(World().route(asked(params={"code": "424242"})))
    assert "params" not in body
    assert "424242" not in str(body)
    assert body["tries"] == 1
