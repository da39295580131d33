"""remember: a preference becomes the table's entry, and its opt-outs become suppressions, each told once."""

from typing import Any

import msgspec
import pytest

from agents.remember import SUPPRESS_FOR_MS, remember
from agents.stage import Outbox
from schemas import topics
from schemas.keys import opt_out_suppression, user_key
from tables.preferences import Entry, unpack
from tests.agents.world import NOW, PHONE, RING, Record, World, written


def told(offset: int = 0, at: int = NOW, **fields: Any) -> Record:
    body = {"tenant": "shop", "user_id": "anna", "version": 1, **fields}
    return Record("preferences", 0, offset, at, b"anna", msgspec.json.encode(body))


def run(world: World, *batch: Record, tell: bool = True) -> Outbox:
    outbox = Outbox()
    remember(RING, world.clock, tell=tell)(batch, world.tables, outbox)
    return outbox


def entry(world: World) -> Entry:
    return unpack(world.tables["preferences"][user_key("shop", "anna")])


def suppressions(outbox: Outbox) -> list[tuple[str, bool]]:
    return [(record["key"], record["blocked"]) for record in written(outbox, topics.SUPPRESSIONS)]


def test_a_preference_becomes_the_entry_and_its_opt_outs_are_told() -> None:
    world = World()
    choice = {"channel": "sms", "category": "news"}
    outbox = run(world, told(addresses=[{"channel": "sms", "address": PHONE}], opt_outs=[choice]))
    assert [reach.channel for reach in entry(world).reaches] == ["sms"]
    assert entry(world).refuses("sms", "news")
    scope = opt_out_suppression("shop", "anna", "sms", "news")
    assert suppressions(outbox) == [(scope.decode(), True)]
    assert [key for topic, key, *_ in outbox.records] == [scope]


def test_a_later_opt_in_lifts_what_an_opt_out_said() -> None:
    world, choice = World(), {"channel": "sms", "category": "news"}
    run(world, told(opt_outs=[choice]))
    outbox = run(world, told(1, version=2, opt_outs=[{**choice, "out": False}]))
    assert [blocked for _, blocked in suppressions(outbox)] == [False]
    assert not entry(world).refuses("sms", "news")


def test_a_version_that_goes_backwards_changes_nothing_and_tells_nothing() -> None:
    world, choice = World(), {"channel": "sms", "category": "news"}
    run(world, told(version=2, opt_outs=[choice]))
    outbox = run(world, told(1, version=1, opt_outs=[{**choice, "out": False}]))
    assert entry(world).version == 2
    assert entry(world).refuses("sms", "news")
    assert suppressions(outbox) == []


def test_the_same_version_is_a_replay_and_is_told_again() -> None:
    world, record = World(), told(opt_outs=[{}])
    assert suppressions(run(world, record)) == suppressions(run(world, record)) != []


def test_versions_within_a_batch_are_ordered_too() -> None:
    world = World()
    run(world, told(0, version=3, locale="de"), told(1, version=2, opt_outs=[{}]), told(2, version=4))
    assert (entry(world).version, entry(world).opted_out) == (4, [])


def test_one_lane_tells_and_buries_and_the_other_only_remembers() -> None:
    world = World()
    outbox = run(world, told(opt_outs=[{}]), Record("preferences", 0, 1, NOW, b"anna", b"{"), tell=False)
    assert outbox.records == []
    assert entry(world).version == 1


def test_an_opt_out_older_than_any_live_decision_is_not_told() -> None:
    assert suppressions(run(World(), told(at=NOW - SUPPRESS_FOR_MS, opt_outs=[{}]))) != []
    assert suppressions(run(World(), told(at=NOW - SUPPRESS_FOR_MS - 1, opt_outs=[{}]))) == []


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"{", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[" * 50_000, "unreadable"),
        (b'{"tenant":"shop","user_id":"anna"}', "unreadable"),
        (b'{"tenant":"shop","user_id":"an\\u001fna","version":1}', "invalid"),
        (b'{"tenant":"shop","user_id":"anna","version":1,"schema":2}', "newer_schema"),
    ],
)
def test_what_cannot_be_read_is_buried_and_the_entry_stays(value: bytes, cause: str) -> None:
    world = World().knows()
    outbox = run(world, Record("preferences", 0, 7, NOW, b"anna", value), told(8, version=5))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"]) == (cause, "preferences/0/7")
    assert entry(world).version == 5


def test_a_tombstone_deletes_nothing_because_absence_must_not_mean_consent() -> None:
    world = World().knows(opt_outs=[{}])
    assert run(world, Record("preferences", 0, 0, NOW, b"anna", None)).records == []
    assert entry(world).refuses("sms", "orders")
