"""remember: a preference becomes the table's entry, its opt-outs suppressions told once; the unreadable is buried."""

import msgspec
import pytest

from agents.remember import SUPPRESS_FOR_MS
from schemas import topics
from schemas.keys import user_key
from schemas.records import MAX_VALUE_BYTES, encode
from tables.preferences import SEALING_GROWS, told
from tables.table import Source
from tests.agents.remembering import (
    BERTS,
    IN,
    KEY,
    OUT,
    PLAIN,
    SCOPE,
    again,
    canonical,
    copied,
    entry,
    preference,
    run,
    suppressions,
    upstream,
)
from tests.agents.world import HOME, NOW, PARTITIONS, Record, World, written

# -- the entry and the suppressions ------------------------------------------------------------------------------------


def test_a_preference_becomes_the_entry_and_its_opt_outs_are_told_from_its_canonical_record() -> None:
    world = World()
    outbox = run(world, upstream(addresses=PLAIN, opt_outs=[OUT]))
    assert [reach.channel for reach in entry(world).reaches] == ["sms", "email"], "at once, on either lane alone"
    assert entry(world).refuses("sms", "news")
    assert suppressions(outbox) == []
    outbox = run(world, copied(outbox))
    assert suppressions(outbox) == [(SCOPE, True)]
    assert [key for _, key, *_ in outbox.records] == [SCOPE.encode()]
    assert entry(world).refuses("sms", "news")


def test_a_suppression_is_in_order_by_the_append_of_its_canonical_record() -> None:
    world = World()
    (first,) = written(run(world, canonical(at=NOW - 50, version=1, opt_outs=[IN])), topics.SUPPRESSIONS)
    (later,) = written(run(world, canonical(1, version=2, opt_outs=[OUT], accepted_ms=NOW - 90)), topics.SUPPRESSIONS)
    assert (first["since_ms"], later["since_ms"]) == (NOW - 50, NOW), "accepted before, yet of a higher version"


def test_a_later_opt_in_lifts_what_an_opt_out_said() -> None:
    world = World()
    run(world, canonical(opt_outs=[OUT]))
    outbox = run(world, canonical(1, version=2, opt_outs=[IN]))
    assert suppressions(outbox) == [(SCOPE, False)]
    assert not entry(world).refuses("sms", "news")


def test_a_version_that_goes_backwards_changes_nothing_and_tells_nothing() -> None:
    world = World()
    run(world, canonical(version=2, opt_outs=[OUT]))
    for late in (upstream(1, version=1, opt_outs=[IN]), canonical(1, version=1, opt_outs=[IN])):
        outbox = run(world, late)
        assert (entry(world).version, suppressions(outbox)) == (2, [])
        assert entry(world).refuses("sms", "news")


def test_of_two_records_of_one_version_the_one_accepted_later_holds() -> None:
    world = World()
    run(world, canonical(at=NOW, opt_outs=[OUT]))
    run(world, canonical(1, at=NOW + 5, accepted_ms=NOW - 1, opt_outs=[IN]))
    assert entry(world).refuses("sms", "news")
    run(world, canonical(2, at=NOW + 9, accepted_ms=NOW + 1))
    assert not entry(world).refuses("sms", "news")


def test_the_same_record_is_a_replay_and_is_told_again() -> None:
    world, record = World(), canonical(opt_outs=[OUT])
    assert suppressions(run(world, record)) == suppressions(run(world, record)) != []


def test_versions_within_a_batch_are_ordered_too() -> None:
    world = World()
    run(world, canonical(0, version=3, locale="de"), canonical(1, version=2, opt_outs=[{}]), canonical(2, version=4))
    assert (entry(world).version, entry(world).opted_out) == (4, [])


def test_one_lane_tells_and_buries_and_the_other_only_remembers() -> None:
    world = World()
    broken = Record("preferences", HOME, 1, NOW, b"anna", b"{")
    outbox = run(
        world, upstream(addresses=PLAIN), canonical(1, opt_outs=[OUT]), broken, canonical(2, version=0), tell=False
    )
    assert outbox.records == []
    assert entry(world).refuses("sms", "news")


def test_an_opt_out_older_than_any_live_decision_is_not_told() -> None:
    assert suppressions(run(World(), canonical(at=NOW - SUPPRESS_FOR_MS, opt_outs=[{}]))) != []
    assert suppressions(run(World(), canonical(at=NOW - SUPPRESS_FOR_MS - 1, opt_outs=[{}]))) == []


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"{", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[" * 50_000, "unreadable"),
        (b'{"tenant":"shop","user_id":"anna"}', "unreadable"),
        (b'{"tenant":"shop","user_id":"an\\u001fna","version":1}', "invalid"),
        (b'{"tenant":"shop","user_id":"anna","version":1,"schema":2}', "newer_schema"),
        (encode(preference(locale="x" * MAX_VALUE_BYTES)), "too_large"),
        (encode(preference(addresses=PLAIN, locale="x" * (MAX_VALUE_BYTES // SEALING_GROWS))), "too_large"),
    ],
)
def test_what_cannot_be_read_is_buried_and_the_entry_stays(value: bytes, cause: str) -> None:
    world = World().knows()
    outbox = run(world, Record("preferences", HOME, 7, NOW, b"anna", value), canonical(8, version=5))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"]) == (cause, f"preferences/{HOME}/7")
    assert again(outbox) == [], "a dead letter may go by its position alone"
    assert entry(world).version == 5


def test_whatever_is_read_fits_a_record_once_it_is_sealed() -> None:
    shortest = {"channel": "", "address": "abcd"}
    many = (MAX_VALUE_BYTES // SEALING_GROWS - 100) // (len(msgspec.json.encode(shortest)) + 1)
    copy = copied(run(World(), upstream(addresses=[shortest | {"address": f"{n:04x}"} for n in range(many)])))
    assert MAX_VALUE_BYTES * 0.8 < len(copy.value or b"") <= MAX_VALUE_BYTES
    assert told(Source(KEY, copy.value, NOW, HOME, PARTITIONS)).canonical


def test_a_tombstone_deletes_nothing_because_absence_must_not_mean_consent() -> None:
    world = World().knows(opt_outs=[{}])
    assert run(world, Record("preferences", HOME, 0, NOW, b"anna", None)).records == []
    assert entry(world).refuses("sms", "orders")
    (behind,) = again(run(world, Record("preferences", HOME, 1, NOW, KEY, None)))
    assert behind[0] == KEY, "what compaction would delete is written behind it"
    assert b"opt_outs" in (behind[1] or b"")


def test_what_lies_on_the_record_of_somebody_else_does_not_take_its_place() -> None:
    world = World().knows(user="bert", opt_outs=[{}])
    outbox = run(world, Record("preferences", BERTS, 0, NOW, user_key("shop", "bert"), b"{"))
    assert [key for key, *_ in again(outbox)] == [user_key("shop", "bert")]
    assert again(run(world, Record("preferences", HOME, 0, NOW, user_key("shop", "nobody"), None))) == []
