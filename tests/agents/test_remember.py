"""remember: a preference becomes the table's entry, its record canonical, and its opt-outs suppressions told once."""

from typing import Any

import msgspec
import pytest

from agents.remember import SUPPRESS_FOR_MS, remember
from agents.stage import Outbox
from flows.upstream import sealed_address
from schemas import topics
from schemas.keys import at as table_key
from schemas.keys import opt_out_suppression, partition_of, user_key
from schemas.records import MAX_VALUE_BYTES, OptOut, Preference, encode
from tables.preferences import SEALING_GROWS, Entry, context, told, unpack
from tables.table import Source
from tests.agents.world import (
    DEVICE,
    HOME,
    MAILBOX,
    NOW,
    PARTITIONS,
    PHONE,
    RING,
    Record,
    World,
    preference_key,
    written,
)

KEY = user_key("shop", "anna")
AWAY = (HOME + 1) % PARTITIONS
BERTS = partition_of(b"bert", PARTITIONS)
PLAIN = [{"channel": "sms", "address": PHONE}, {"channel": "email", "address": MAILBOX}]
OUT, IN = {"channel": "sms", "category": "news"}, {"channel": "sms", "category": "news", "out": False}
SCOPE = opt_out_suppression("shop", "anna", "sms", "news").decode()


def preference(**fields: Any) -> Preference:
    return msgspec.convert({"tenant": "shop", "user_id": "anna", "version": 1, **fields}, Preference)


def upstream(offset: int = 0, at: int = NOW, place: int = HOME, key: bytes | None = b"anna", **fields: Any) -> Record:
    """A record as producers write it."""
    return Record("preferences", place, offset, at, key, encode(preference(**fields)))


def canonical(offset: int = 0, at: int = NOW, **fields: Any) -> Record:
    """A record as the engine writes it."""
    return upstream(offset, at, key=KEY, **fields)


def run(world: World, *batch: Record, tell: bool = True) -> Outbox:
    outbox = Outbox()
    remember(RING, world.clock, PARTITIONS, tell=tell)(batch, world.tables, outbox)
    return outbox


def entry(world: World) -> Entry:
    return unpack(world.tables["preferences"][preference_key()])


def again(outbox: Outbox) -> list[tuple[bytes | None, bytes | None, int]]:
    """(key, value, partition) of what goes to the topic of preferences."""
    return [(key, value, place) for topic, key, value, place, _ in outbox.records if topic == topics.PREFERENCES.name]


def copied(outbox: Outbox, offset: int = 100, at: int = NOW + 5) -> Record:
    """The one record written to the topic that deletes nothing, as it comes back."""
    ((key, value, place),) = [found for found in again(outbox) if found[1] is not None]
    return Record("preferences", place, offset, at, key, value)


def body(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(record.value or b"")
    return found


def suppressions(outbox: Outbox) -> list[tuple[str, bool]]:
    return [(record["key"], record["blocked"]) for record in written(outbox, topics.SUPPRESSIONS)]


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


# -- the canonical form ------------------------------------------------------------------------------------------------


def test_what_a_producer_wrote_is_written_again_under_the_users_key_in_the_users_partition() -> None:
    copy = copied(run(World(), upstream(at=NOW - 7, version=3, addresses=PLAIN, preferred=["email"], locale="de")))
    assert (copy.key, copy.partition) == (KEY, HOME)
    told = body(copy)
    assert (told["version"], told["accepted_ms"], told["preferred"], told["locale"]) == (3, NOW - 7, ["email"], "de")


def test_no_plain_address_is_in_the_canonical_record() -> None:
    addresses = [
        *PLAIN,
        {"channel": "push", "address": DEVICE, "verified": False},
        {"channel": "sms", "address": "0151 12345678"},
        {"channel": "fax", "address": "0301234567"},
        {"channel": "sms", "address": "+4917699999999", "sealed": "AAAA", "hash": "given"},
        {"channel": "sms", "sealed": "AAAA"},
        {"channel": "sms"},
    ]
    copy = copied(run(World(), upstream(addresses=addresses)))
    for plain in (PHONE, MAILBOX, DEVICE, "0151 12345678", "0301234567", "+4917699999999"):
        assert plain.encode() not in (copy.value or b"")
    kept = msgspec.json.decode(copy.value or b"", type=Preference).addresses
    assert [(address.channel, address.verified) for address in kept] == [
        ("sms", True),
        ("email", True),
        ("push", False),
        ("fax", True),
        ("sms", True),
    ], "what is unverified or of an unknown channel is kept, what is ill-formed is not"
    assert RING.open(kept[0].sealed or b"", context("shop", "anna")) == PHONE.encode()
    assert (kept[0].hash, kept[4].hash) == (RING.address_hash("shop", PHONE), "given")


@pytest.mark.parametrize(
    "record",
    [
        upstream(addresses=PLAIN),
        upstream(place=AWAY, addresses=PLAIN, opt_outs=[OUT]),
        upstream(key=None),
        upstream(key=KEY, place=AWAY),
        upstream(key=KEY, addresses=[*PLAIN, {"channel": "sms"}, {"channel": "sms", "sealed": "AAAA"}]),
    ],
)
def test_a_copy_is_not_copied_again(record: Record) -> None:
    world = World()
    outbox = run(world, copied(run(world, record)))
    assert again(outbox) == []
    assert entry(world).version == 1


def test_what_our_own_tools_write_is_canonical_and_stays_alone() -> None:
    world, address = World(), sealed_address(RING, "shop", "anna", "sms", PHONE)
    record = encode(Preference(tenant="shop", user_id="anna", version=1, addresses=[address], opt_outs=[OptOut()]))
    outbox = run(world, Record("preferences", HOME, 0, NOW, KEY, record))
    assert (again(outbox), len(suppressions(outbox))) == ([], 1)


def test_what_was_written_again_is_deleted_where_it_lay() -> None:
    deleted = [found for found in again(run(World(), upstream(addresses=PLAIN))) if found[1] is None]
    assert deleted == [(b"anna", None, HOME)]
    deleted = [found for found in again(run(World(), upstream(place=AWAY, key=b"any"))) if found[1] is None]
    assert deleted == [(b"any", None, AWAY)]


def test_an_outdone_record_is_deleted_without_a_copy() -> None:
    world = World()
    run(world, canonical(version=2))
    assert again(run(world, upstream(1, version=1, addresses=PLAIN))) == [(b"anna", None, HOME)]


def test_the_record_of_no_other_user_is_deleted() -> None:
    found = again(run(World(), upstream(key=KEY, addresses=PLAIN)))
    assert [(key, value is None) for key, value, _ in found] == [(KEY, False)], "its copy takes its place"
    found = again(run(World(), upstream(key=user_key("shop", "bert"))))
    assert [(key, value is None) for key, value, _ in found] == [(KEY, False)]
    found = again(run(World(), upstream(key=KEY, place=AWAY)))
    assert [(value is None, place) for _, value, place in found] == [(False, HOME), (True, AWAY)]


def test_a_misplaced_preference_goes_to_its_users_partition_and_is_applied_there_alone() -> None:
    world = World()
    outbox = run(world, upstream(place=AWAY, at=NOW - 9, addresses=PLAIN, opt_outs=[OUT]))
    assert world.tables["preferences"] == {}
    assert suppressions(outbox) == []
    copy = copied(outbox)
    assert copy.partition == HOME
    assert suppressions(run(world, copy)) == [(SCOPE, True)]
    assert entry(world).accepted_ms == NOW - 9


def test_entries_lie_in_the_partition_of_their_records() -> None:
    world = World()
    run(world, canonical(), upstream(1, place=BERTS, user_id="bert"), upstream(2, place=BERTS, key=b"any"))
    assert world.tables["preferences"].keys() == {preference_key(), preference_key("bert")}
    assert preference_key("bert") == table_key(BERTS, user_key("shop", "bert"))


def test_what_lies_on_a_user_s_key_in_another_partition_touches_neither_the_entry_nor_its_record() -> None:
    world = World()
    misplaced = [Record("preferences", AWAY, 0, NOW, KEY, None), Record("preferences", AWAY, 1, NOW, KEY, b"{")]
    assert again(run(world, canonical(version=2), *misplaced)) == []
    assert again(run(world, *misplaced, canonical(1, version=3))) == []
    assert (world.tables["preferences"].keys(), entry(world).version) == ({preference_key()}, 3)
    ((key, _, place),) = again(run(world, *misplaced, Record("preferences", HOME, 2, NOW, KEY, None)))
    assert (key, place) == (KEY, HOME)


def test_the_record_that_holds_is_written_behind_one_that_compaction_would_keep_instead() -> None:
    world = World()
    run(world, canonical(version=2, locale="de", preferred=["email"], opt_outs=[OUT, IN | {"category": "orders"}]))
    late = canonical(1, at=NOW + 3, version=1)
    ((key, value, place),) = again(run(world, late, canonical(2, at=NOW + 4, version=0)))
    assert (key, place) == (KEY, HOME)
    found = msgspec.json.decode(value or b"", type=Preference)
    assert (found.version, found.accepted_ms, found.locale, found.preferred) == (2, NOW, "de", ["email"])
    assert {(choice.category, choice.out) for choice in found.opt_outs} == {("news", True), ("orders", False)}
    assert again(run(world, Record("preferences", HOME, 3, NOW + 6, key, value))) == []


def test_nothing_is_written_behind_an_outdone_record_that_a_greater_one_follows_anyway() -> None:
    world, batch = World(), [canonical(n, at=NOW + n, version=n) for n in range(5)]
    run(world, *batch)
    assert again(run(world, *batch)) == [], "a replay"
    assert again(run(world, canonical(5, version=1), canonical(6, version=7))) == []


@pytest.mark.parametrize(("claimed", "believed"), [(NOW - 5, NOW - 5), (NOW + 10**9, NOW), (None, NOW)])
def test_a_canonical_record_may_say_that_it_was_accepted_before_its_append_but_not_after(
    claimed: int | None, believed: int
) -> None:
    world = World()
    run(world, canonical(accepted_ms=claimed))
    assert entry(world).accepted_ms == believed


@pytest.mark.parametrize("how", [{"key": b"anna"}, {"place": AWAY, "key": KEY}, {"key": KEY, "addresses": PLAIN}])
def test_no_other_record_may_say_when_it_was_accepted(how: dict[str, Any]) -> None:
    assert body(copied(run(World(), upstream(**how, accepted_ms=NOW - 5))))["accepted_ms"] == NOW


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
    shortest = {"channel": "", "address": ""}
    many = (MAX_VALUE_BYTES // SEALING_GROWS - 100) // (len(msgspec.json.encode(shortest)) + 1)
    copy = copied(run(World(), upstream(addresses=[shortest] * many)))
    assert MAX_VALUE_BYTES * 0.9 < len(copy.value or b"") <= MAX_VALUE_BYTES
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
