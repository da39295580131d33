"""remember's canonical record: sealed, in its user's partition, written once, and again where it would be lost."""

from typing import Any

import msgspec
import pytest

from schemas.keys import at as table_key
from schemas.keys import user_key
from schemas.records import OptOut, Preference, encode
from tables.preferences import context, sealed_address
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
    run,
    suppressions,
    upstream,
)
from tests.agents.world import DEVICE, HOME, MAILBOX, NOW, PARTITIONS, PHONE, RING, Record, World, preference_key

GIVEN = "0a" * 16
AWAY = (HOME + 1) % PARTITIONS


def body(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(record.value or b"")
    return found


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
        {"channel": "sms", "address": "+4917699999999", "sealed": "AAAA", "hash": GIVEN},
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
    assert (kept[0].hash, kept[4].hash) == (RING.address_hash("shop", PHONE), GIVEN)


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
    assert suppressions(run(world, copy)) == [[SCOPE]]
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
