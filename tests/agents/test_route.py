"""route: which channels and which addresses a notification goes to."""

from typing import Any

import msgspec
import pytest

from agents.intake import Intake
from agents.route import choose
from schemas import topics
from schemas.channels import CHANNELS
from schemas.records import Notification
from schemas.vocabulary import Lane, Reason
from tables.preferences import context, pack, unpack
from tests.agents.world import (
    ADDRESSES,
    NOW,
    RING,
    Record,
    World,
    asked,
    deliveries,
    id_of,
    preference_key,
    request,
    steps,
    waiting,
    written,
)

DEVICES = [{"channel": "push", "address": f"device-token-{number}"} for number in range(3)]
EVERYWHERE = [{"channel": name, "address": where} for name, where in ADDRESSES.items()]


def chosen(channels: str | list[str], **told: Any) -> list[str]:
    """The channels that a request for `channels` goes to."""
    return [delivery.channel for delivery in deliveries(World().knows(**told).route(asked(channels=channels)))]


def test_best_is_the_first_preferred_channel_then_the_default_order() -> None:
    assert chosen("best") == ["push"]
    assert chosen("best", preferred=["email", "sms"]) == ["email"]
    assert chosen("best", addresses=EVERYWHERE[:2]) == ["sms"], "push, sms, email"
    assert chosen("best", addresses=EVERYWHERE[:2], preferred=["push"]) == ["sms"]


def test_best_passes_over_what_is_not_verified_or_was_opted_out_of() -> None:
    unverified = [{"channel": "push", "address": "device-token-1", "verified": False}, *EVERYWHERE[:2]]
    assert chosen("best", addresses=unverified) == ["sms"]
    assert chosen("best", opt_outs=[{"channel": "push", "category": "orders"}]) == ["sms"]
    assert chosen("best", opt_outs=[{"channel": "push"}, {"channel": "sms"}]) == ["email"]
    assert chosen("best", opt_outs=[{}]) == []


def test_several_channels_are_each_used_once_and_in_the_user_s_order() -> None:
    assert chosen(["email", "sms"]) == ["sms", "email"]
    assert chosen(["email", "sms"], preferred=["email"]) == ["email", "sms"]
    assert chosen(["sms", "sms"]) == ["sms"]
    assert chosen("sms", addresses=[*EVERYWHERE, {"channel": "sms", "address": "+4915199999999"}]) == ["sms"]


@pytest.mark.parametrize("channels", ["push", ["push"], "best"])
def test_push_goes_to_every_device(channels: str | list[str]) -> None:
    outbox = World().knows(addresses=DEVICES).route(asked(channels=channels))
    assert len({delivery.address_hash for delivery in deliveries(outbox)}) == 3
    assert written(outbox, topics.STATUSES)[0]["deliveries"] == 3


@pytest.mark.parametrize("channels", ["push", ["push"], "best"])
def test_a_device_that_an_older_entry_names_twice_gets_one_delivery_and_the_sums_close(
    channels: str | list[str],
) -> None:
    world = World().knows(addresses=DEVICES)
    entry = unpack(world.tables["preferences"][preference_key()])
    entry.reaches.append(entry.reaches[1])
    world.tables["preferences"][preference_key()] = pack(entry)
    outbox = world.route(asked(channels=channels))
    assert len(deliveries(outbox)) == len({delivery.address_hash for delivery in deliveries(outbox)}) == 3
    assert written(outbox, topics.STATUSES)[0]["deliveries"] == 3


def test_a_channel_is_matched_by_its_whole_name() -> None:
    world = World().knows()
    item = Intake(asked(), msgspec.convert(request(channels="no_sms_please"), Notification), id_of(), b"{}", NOW, NOW)
    item.entry = unpack(world.tables["preferences"][preference_key()])
    assert choose(item) == ([], Reason.NO_ADDRESS)


@pytest.mark.parametrize("channel", ["sms", "*"])
@pytest.mark.parametrize("category", ["orders", "*"])
def test_an_opt_out_holds_for_its_channel_and_category_or_for_every_one(channel: str, category: str) -> None:
    outbox = World().knows(opt_outs=[{"channel": channel, "category": category}]).route(asked())
    assert steps(outbox) == [("suppressed", "opted_out")]
    assert chosen("sms", opt_outs=[{"channel": "email", "category": category}]) == ["sms"]
    assert chosen("sms", opt_outs=[{"channel": channel, "category": "news"}]) == ["sms"]


def test_an_opt_in_is_no_opt_out_and_a_user_without_addresses_is_told_apart() -> None:
    assert chosen("sms", opt_outs=[{"channel": "sms", "category": "orders", "out": False}]) == ["sms"]
    assert steps(World().knows(addresses=[]).route(asked())) == [("suppressed", "no_address")]
    assert steps(World().knows(addresses=EVERYWHERE[1:]).route(asked())) == [("suppressed", "no_address")]


def test_no_preference_means_no_consent() -> None:
    outbox = World().route(asked())
    assert not deliveries(outbox)
    assert waiting(outbox)


def test_a_replay_is_limited_to_the_channels_decided_less_what_was_opted_out_since() -> None:
    world = World().knows()
    assert [d.channel for d in deliveries(world.route(asked(channels=["sms", "push"])))] == ["push", "sms"]
    more = [*EVERYWHERE, {"channel": "push", "address": "device-token-new"}]
    world.knows(version=2, addresses=more, preferred=["email"], opt_outs=[{"channel": "sms"}])
    assert {d.channel for d in deliveries(world.route(asked(channels=["sms", "push"])))} == {"push"}
    world.knows(version=3, opt_outs=[{}])
    assert steps(world.route(asked(channels=["sms", "push"]))) == [("suppressed", "opted_out")]


def test_a_replay_of_best_stays_with_the_channel_it_had() -> None:
    world = World().knows()
    assert [d.channel for d in deliveries(world.route(asked(channels="best")))] == ["push"]
    world.knows(version=2, preferred=["email"])
    assert [d.channel for d in deliveries(world.route(asked(channels="best")))] == ["push"]


def test_a_delivery_carries_what_its_call_needs_sealed_for_its_user_and_notification() -> None:
    world = World().knows()
    world.clock.now = NOW + 5
    (sent,) = deliveries(world.route(asked(template_version=3, collapse_key="one")))
    assert sent.notification_id == id_of()
    assert RING.open(sent.address, context("shop", "anna")).decode() == ADDRESSES["sms"]
    assert RING.open(sent.params, id_of().encode()) == b'{"number":"4711"}'
    assert (sent.accepted_ms, sent.due_ms, sent.decided_at_ms) == (NOW, NOW, NOW + 5)
    assert (sent.template_version, sent.collapse_key, sent.attempt, sent.round) == (3, "one", 1, 1)
    assert sent.address_hash == unpack(world.tables["preferences"][preference_key()]).reaches[1].hash


@pytest.mark.parametrize("channel", CHANNELS)
def test_deliveries_go_to_their_channel_s_topic_of_the_lane_keyed_by_the_notification(channel: str) -> None:
    for lane, kind in ((Lane.HIGH, "otp"), (Lane.LOW, "marketing")):
        record = asked(channels=channel, topic=topics.notifications(lane), **{"class": kind})
        outbox = World(lane=lane).knows().route(record)
        found = [(topic, key) for topic, key, *_ in outbox.records]
        assert found[0] == (f"{channel}_notifications.{lane}", id_of(lane=lane).encode())
        assert {topic for topic, _ in found[1:]} == {"statuses"}


def test_every_input_has_one_decision_whatever_it_is() -> None:
    world = World().knows().knows("bert", addresses=[])
    batch = [
        asked(0),
        asked(1),
        asked(2, category="other"),
        asked(3, user_id="carl"),
        Record("notifications.high", 0, 0, NOW, None, b"{"),
        asked(5, idempotency_key="late", deadline="2020-01-01T00:00:00Z"),
        asked(6, user_id="bert"),
    ]
    found = sorted(step for step, _ in steps(world.route(*batch)))
    assert found == ["dead", "dead", "duplicate", "expired", "held", "routed", "suppressed"]
