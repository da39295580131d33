"""remember: a preference becomes the table's entry, its opt-outs suppressions told once; the unreadable is buried."""

from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.keys import partition_of, user_key, user_suppression
from schemas.records import MAX_VALUE_BYTES
from tables.preferences import told
from tables.suppressions import OPT_OUTS_FOR_MS
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
    run,
    suppressions,
    upstream,
)
from tests.agents.world import HOME, NOW, PARTITIONS, PHONE, Record, World, written

# -- the entry and the suppressions ------------------------------------------------------------------------------------


def test_a_preference_becomes_the_entry_and_its_opt_outs_are_told_from_its_canonical_record() -> None:
    world = World()
    outbox = run(world, upstream(addresses=PLAIN, opt_outs=[OUT]))
    assert [reach.channel for reach in entry(world).reaches] == ["sms", "email"], "at once, on either lane alone"
    assert entry(world).refuses("sms", "news")
    assert suppressions(outbox) == []
    outbox = run(world, copied(outbox))
    assert suppressions(outbox) == [[SCOPE]]
    assert [key for _, key, *_ in outbox.records] == [user_suppression("shop", "anna")]
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
    assert suppressions(outbox) == [[]]
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
    assert suppressions(run(World(), canonical(at=NOW - OPT_OUTS_FOR_MS, opt_outs=[{}]))) != []
    assert suppressions(run(World(), canonical(at=NOW - OPT_OUTS_FOR_MS - 1, opt_outs=[{}]))) == []


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"{", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[" * 50_000, "invalid"),
        (b'{"tenant":"shop","user_id":"anna"}', "invalid"),
        (b'{"tenant":"shop","user_id":"an\\u001fna","version":1}', "invalid"),
        (b'{"tenant":"shop","user_id":"anna","version":1,"schema":2}', "newer_schema"),
    ],
)
def test_what_cannot_be_read_is_buried_and_the_entry_stays(value: bytes, cause: str) -> None:
    world = World().knows()
    outbox = run(world, Record("preferences", HOME, 7, NOW, b"anna", value), canonical(8, version=5))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"]) == (cause, f"preferences/{HOME}/7")
    assert again(outbox) == [], "a dead letter may go by its position alone"
    assert entry(world).version == 5


MANY = "\x01" * 256
"""As long as a name may be; in JSON six times as long."""
LARGEST: dict[str, Any] = {
    "tenant": MANY,
    "user_id": MANY,
    "version": 2**63 - 1,
    "addresses": [{"channel": "push", "address": f"{n:04}" + "x" * 4092} for n in range(64)],
    "preferred": ["\x01" * 32] * 32,
    "opt_outs": [{"channel": "email", "category": f"{n:03}" + MANY[3:], "out": n > 0} for n in range(256)],
    "locale": "\x01" * 35,
    "time_zone": "\x01" * 64,
    "home_region": "\x01" * 64,
}


def test_the_largest_preference_that_is_read_fits_a_record_in_every_form() -> None:
    world, home = World(), partition_of(MANY.encode(), PARTITIONS)
    outbox = run(world, upstream(place=home, **LARGEST))
    copy = copied(outbox)
    assert 700_000 < len(copy.value or b"") <= MAX_VALUE_BYTES
    assert told(Source(user_key(MANY, MANY), copy.value, NOW, home, PARTITIONS)).canonical
    outbox.add(run(world, copy))
    assert all(len(key or b"") + len(value or b"") <= MAX_VALUE_BYTES for _, key, value, _, _ in outbox.records)
    assert len(written(outbox, topics.SUPPRESSIONS)) > 0


BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "a tenant": ({"tenant": "x" * 257}, "`$.tenant`: expected `str` of length <= 256"),
    "a user in bytes": ({"user_id": "\U0001f600" * 65}, "`$.user_id`: expected 256 bytes of UTF-8 at most"),
    "a category": ({"opt_outs": [{"category": "x" * 640_000}]}, "category`: expected `str` of length <= 256"),
    "a category in bytes": ({"opt_outs": [{}, {"category": "\u20ac" * 86}]}, "`$.opt_outs[1].category`: expected 256"),
    "a category that folds to more": ({"opt_outs": [{"category": "\ufdfa" * 9}]}, "`$.opt_outs[0].category`: expected"),
    "a category of white space": ({"opt_outs": [{"category": " "}]}, "`$.opt_outs[0].category`: is white space"),
    "opt-outs": ({"opt_outs": [{}] * 257}, "`$.opt_outs`: expected `array` of length <= 256"),
    "addresses": ({"addresses": PLAIN * 33}, "`$.addresses`: expected `array` of length <= 64"),
    "an address": (
        {"addresses": [{"channel": "fax", "address": "x" * 4097}]},
        "address`: expected `str` of length <= 4096",
    ),
    "a sealed address": (
        {"addresses": [{"channel": "sms", "sealed": "A" * 800_000, "hash": "0a" * 16}]},
        "sealed`: expected `bytes` of length <= 4125",
    ),
    "a short hash": (
        {"addresses": [{"channel": "sms", "sealed": "AA==", "hash": "0a"}]},
        "hash`: expected `str` of length",
    ),
    "a hash of other letters": ({"addresses": [{"channel": "sms", "sealed": "AA==", "hash": "0A" * 16}]}, "hash`"),
    "preferred": ({"preferred": ["sms"] * 33}, "`$.preferred`: expected `array` of length <= 32"),
    "a channel": ({"preferred": ["x" * 33]}, "expected `str` of length <= 32"),
    "a locale": ({"locale": "x" * 36}, "`$.locale`: expected `str` of length <= 35"),
    "a time zone": ({"time_zone": "x" * 65}, "`$.time_zone`: expected `str` of length <= 64"),
    "a region": ({"home_region": "x" * 65}, "`$.home_region`: expected `str` of length <= 64"),
}


@pytest.mark.parametrize("what", BEYOND)
def test_a_field_beyond_its_limit_is_one_dead_letter_that_names_it_and_the_entry_stays(what: str) -> None:
    fields, says = BEYOND[what]
    body = msgspec.json.encode({"tenant": "shop", "user_id": "anna", "version": 9, **fields})
    world = World().knows()
    outbox = run(world, Record("preferences", HOME, 7, NOW, b"anna", body))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert letter["cause"] in ("invalid", "too_large")
    assert says in letter["detail"]
    assert (len(outbox.records), entry(world).version) == (1, 1)


@pytest.mark.parametrize("channel", ["SMS", "fax", "sms "])
def test_an_opt_out_from_an_unknown_channel_is_a_dead_letter_and_what_held_before_holds(channel: str) -> None:
    world = World().knows(opt_outs=[OUT])
    record = upstream(7, version=9, opt_outs=[OUT | {"category": "orders"}, OUT | {"channel": channel}])
    (letter,) = written(run(world, record), topics.DEAD_LETTERS)
    assert letter["cause"] == "unknown_channel"
    assert letter["detail"] == "`$.opt_outs[1].channel`: expected one of push, sms, email or *"
    assert (entry(world).version, entry(world).opted_out) == (1, ["sms/news"])


def test_what_reaches_nobody_is_one_dead_letter_and_the_rest_of_the_preference_holds() -> None:
    addresses = [
        PLAIN[0],
        {"channel": "email", "address": "<ada@example.org>"},
        {"channel": "SMS", "address": PHONE},
        {"channel": "push"},
    ]
    world = World()
    outbox = run(world, upstream(7, addresses=addresses, preferred=["Email"], opt_outs=[OUT]))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"], letter["user_id"]) == ("invalid", f"preferences/{HOME}/7", "anna")
    assert letter["detail"] == (
        "`$.addresses[1].address`: expected a mailbox in ASCII, such as ada@example.org; "
        "`$.addresses[2].channel`: expected one of push, sms, email; "
        "`$.addresses[3].address`: is missing; "
        "`$.preferred[0]`: expected one of push, sms, email"
    )
    assert [reach.channel for reach in entry(world).reaches] == ["sms"]
    assert entry(world).refuses("sms", "news")
    assert written(run(world, copied(outbox)), topics.DEAD_LETTERS) == [], "said once"


def test_a_preference_full_of_bad_addresses_names_the_first_of_them() -> None:
    outbox = run(World(), upstream(addresses=[{"channel": "sms"}] * 64))
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert letter["detail"].endswith("`$.addresses[7].address`: is missing; and 56 more")


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
