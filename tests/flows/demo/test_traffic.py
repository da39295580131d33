"""What the demo's producers write: mostly sound, and broken in every way that must not stop a lane."""

import json
from collections import Counter
from random import Random

import pytest

from agents.admit import read
from flows.demo.people import COUNT, newcomer, preference_of
from flows.demo.traffic import BREAKS, Shot, Traffic, Way
from schemas import topics
from schemas.errors import Malformed
from schemas.records import encode
from schemas.sealing import KeyRing
from schemas.vocabulary import CLASSES, Lane, Reason
from tables import preferences

RING = KeyRing({1: b"k" * 32}, b"i" * 32)


def shots(lane: Lane, count: int, seed: int = 1) -> list[Shot]:
    traffic = Traffic(Random(seed))
    return [traffic.shot(lane) for _ in range(count)]


def sound(found: list[Shot]) -> list[Shot]:
    kept = []
    for shot in found:
        try:
            read(shot.value)
        except Malformed:
            continue
        kept.append(shot)
    return kept


def test_the_same_seed_brings_the_same_traffic() -> None:
    assert shots(Lane.HIGH, 500) == shots(Lane.HIGH, 500)
    assert shots(Lane.HIGH, 500) != shots(Lane.HIGH, 500, seed=2)


@pytest.mark.parametrize("lane", list(Lane))
def test_nearly_all_is_sound_on_its_own_lane_and_in_its_users_partition(lane: Lane) -> None:
    found = shots(lane, 5_000)
    assert {shot.topic for shot in found} == {topics.notifications(lane).name}
    good = sound(found)
    assert len(good) > 4_900
    assert sum(CLASSES[read(shot.value).message_class].lane is not lane for shot in good) <= 5
    ways = Counter(shot.way if shot.key else None for shot in good)
    assert ways[Way.RIGHT] > 4_700
    assert ways[Way.OTHER] > 50
    assert ways[None] > 20


def test_there_are_repeats_conflicts_strangers_newcomers_and_forgotten_templates() -> None:
    found = [json.loads(shot.value or b"") for shot in sound(shots(Lane.HIGH, 5_000))]
    bodies = Counter(json.dumps(one, sort_keys=True) for one in found)
    keys = Counter(one["idempotency_key"] for one in {json.dumps(one, sort_keys=True): one for one in found}.values())
    assert 100 < sum(count - 1 for count in bodies.values()) < 250
    assert 5 < sum(count - 1 for count in keys.values()) < 60
    kinds = Counter(one["user_id"].partition("-")[0] for one in found)
    assert kinds["stranger"] > 10
    assert kinds["newcomer"] > 10
    assert Counter(one["template_id"] for one in found)["forgotten"] > 3


def test_every_newcomer_is_announced_for_an_introduction() -> None:
    found = shots(Lane.HIGH, 5_000)
    named = {json.loads(shot.value or b"")["user_id"] for shot in sound(found)}
    assert {shot.newcomer for shot in found if shot.newcomer} == {name for name in named if name.startswith("newcomer")}


@pytest.mark.parametrize("lane", list(Lane))
def test_every_way_of_being_broken_is_refused_for_its_reason(lane: Lane) -> None:
    fields = json.loads(sound(shots(lane, 50))[0].value or b"")
    reasons = []
    for broken in BREAKS:
        try:
            asked = read(broken(fields))
        except Malformed as error:
            reasons.append(error.reason)
        else:
            assert CLASSES[asked.message_class].lane is not lane
            reasons.append(Reason.WRONG_LANE)
    assert reasons == [
        Reason.UNREADABLE,
        Reason.UNREADABLE,
        Reason.NULL_RECORD,
        Reason.WRONG_LANE,
        Reason.NEWER_SCHEMA,
        Reason.UNREADABLE,
        Reason.TOO_LARGE,
        Reason.UNKNOWN_CHANNEL,
        Reason.INVALID,
    ]


def test_every_user_can_be_reached_and_no_address_is_written_in_the_clear() -> None:
    entries = [preferences.entry_of(preferences.read(encode(preference_of(n, RING))), RING) for n in range(COUNT)]
    assert all(entry.reaches for entry in entries)
    assert 0.1 < sum(bool(entry.opted_out) for entry in entries) / COUNT < 0.4
    written = encode(newcomer("newcomer-1", Random(1), RING))
    assert b"+49" not in written
    assert b"@" not in written
