"""preferences: what of a preference record is kept, in which form and order."""

from operator import itemgetter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.channels import CHANNELS
from schemas.keys import category_key, partition_of, user_key
from schemas.records import Preference
from schemas.sealing import KeyRing
from tables.preferences import TABLE, Entry, context, entry_of, pack, record_of, sealed, sealed_address, unpack
from tables.table import Source

RING = KeyRing({1: bytes(32)}, bytes(32))
PHONE, MAILBOX, DEVICE = "+4915112345678", "anna@example.org", "device-token-0001"
ALL = [{"channel": c, "address": a} for c, a in (("email", MAILBOX), ("sms", PHONE), ("push", DEVICE))]


def entry(**told: Any) -> Entry:
    record = msgspec.convert({"tenant": "shop", "user_id": "anna", "version": 1, **told}, Preference)
    return entry_of(record, RING)


def channels(**told: Any) -> list[str]:
    return [reach.channel for reach in entry(**told).reaches]


def test_addresses_are_kept_sealed_for_their_user_with_the_hash_they_are_looked_up_by() -> None:
    (reach,) = entry(addresses=ALL[1:2]).reaches
    assert RING.open(reach.sealed, context("shop", "anna")) == PHONE.encode()
    assert reach.hash == RING.address_hash("shop", PHONE)
    assert PHONE.encode() not in pack(entry(addresses=ALL))


def test_channels_lie_in_preferred_order_then_in_the_default_order() -> None:
    assert channels(addresses=ALL) == ["push", "sms", "email"]
    assert channels(addresses=ALL, preferred=["email"]) == ["email", "push", "sms"]
    assert channels(addresses=ALL, preferred=["fax", "sms", "email"]) == ["sms", "email", "push"]


def test_a_channel_that_is_preferred_twice_counts_by_its_first_place() -> None:
    assert channels(addresses=ALL, preferred=["email", "sms", "email"]) == ["email", "sms", "push"]


TWICE = [
    ("push", DEVICE, DEVICE),
    ("sms", PHONE, PHONE),
    ("email", MAILBOX, "anna@EXAMPLE.org"),
]


@pytest.mark.parametrize(("channel", "one", "other"), TWICE)
def test_an_address_that_is_named_twice_is_kept_once_in_its_normal_form(channel: str, one: str, other: str) -> None:
    for pair in ((one, other), (other, one)):
        (reach,) = entry(addresses=[{"channel": channel, "address": address} for address in pair]).reaches
        assert RING.open(reach.sealed, context("shop", "anna")) == one.encode()
        assert reach.hash == RING.address_hash("shop", one)


def test_an_address_that_a_producer_sealed_twice_is_kept_once() -> None:
    once = [sealed_address(RING, "shop", "anna", "push", DEVICE) for _ in range(2)]
    both = entry(addresses=[msgspec.to_builtins(address) for address in once])
    assert [reach.hash for reach in both.reaches] == [once[0].hash]


def test_an_address_that_is_verified_at_one_place_is_verified() -> None:
    told = [{"channel": "sms", "address": PHONE, "verified": verified} for verified in (False, True, False)]
    found = entry(addresses=told)
    assert ([reach.channel for reach in found.reaches], found.rest) == (["sms"], None)


def test_the_same_address_on_two_channels_is_two() -> None:
    told = [{"channel": channel, "address": PHONE} for channel in ("sms", "push")]
    assert channels(addresses=told) == ["push", "sms"]


def test_what_is_unverified_ill_formed_or_of_no_channel_is_left_out() -> None:
    poor = [
        {"channel": "sms", "address": "0151 12345678"},
        {"channel": "email", "address": "no mailbox"},
        {"channel": "push", "address": "short"},
        {"channel": "fax", "address": PHONE},
        {"channel": "sms", "address": PHONE, "verified": False},
        {"channel": "sms"},
        {"channel": "sms", "sealed": "AAAA"},
    ]
    assert channels(addresses=poor) == []


def test_an_address_that_is_sealed_already_is_taken_as_it_is() -> None:
    (reach,) = entry(addresses=[{"channel": "sms", "sealed": "AAAA", "hash": "0a" * 16}]).reaches
    assert (reach.sealed, reach.hash) == (b"\0\0\0", "0a" * 16)


@given(
    st.lists(st.tuples(st.sampled_from([*CHANNELS, "*"]), st.sampled_from(["news", "orders", "*"]), st.booleans())),
    st.sampled_from([*CHANNELS]),
    st.sampled_from(["news", "orders", "other"]),
)
def test_an_opt_out_refuses_what_it_names_and_a_star_names_all(
    choices: list[tuple[str, str, bool]], channel: str, category: str
) -> None:
    told = [{"channel": c, "category": w, "out": out} for c, w, out in choices]
    expected = any(out and c in (channel, "*") and w in (category, "*") for c, w, out in choices)
    assert entry(opt_outs=told).refuses(channel, category) is expected


@pytest.mark.parametrize(("written", "asked"), [("Orders", "orders"), ("orders", "ORDERS"), ("Ｎews", "news")])
def test_an_opt_out_is_matched_whatever_its_case(written: str, asked: str) -> None:
    for channel in ("sms", "*"):
        assert entry(opt_outs=[{"channel": channel, "category": written}]).refuses("sms", asked)
        assert Entry(1, 0, [], [f"{channel}/{written}"]).refuses("sms", written), "as an older release stored it"
    assert not entry(opt_outs=[{"channel": "email", "category": written}]).refuses("sms", asked)


TEXT = st.text(st.characters(exclude_characters="/\x1f", exclude_categories=["Cs"]), min_size=1, max_size=4)
PLACES = st.fixed_dictionaries({"channel": st.sampled_from([*CHANNELS, "fax"]), "verified": st.booleans()})
HASH = st.text("0123456789abcdef", min_size=32, max_size=32)
SEALED = st.fixed_dictionaries({"sealed": st.just("AAAA"), "hash": HASH})
ADDRESSES = st.builds(lambda place, seal: place | seal, PLACES, SEALED)
CHOICES = st.fixed_dictionaries(
    {"channel": TEXT, "category": TEXT.map(category_key).filter(bool), "out": st.booleans()}
)
TOLD = st.fixed_dictionaries(
    {
        "addresses": st.lists(ADDRESSES, max_size=4, unique_by=itemgetter("hash")),
        "preferred": st.lists(TEXT, max_size=2),
        "opt_outs": st.lists(CHOICES, max_size=3),
        "accepted_ms": st.integers(0, 2**63 - 1),
        "locale": st.none() | TEXT,
        "time_zone": st.none() | TEXT,
        "home_region": st.none() | TEXT,
    }
)


@given(TOLD)
def test_an_entry_holds_all_that_its_record_said(told: dict[str, Any]) -> None:
    said = msgspec.convert({"tenant": "shop", "user_id": "anna", "version": 3, **told}, Preference)
    found = record_of(user_key("shop", "anna"), unpack(pack(entry_of(said, RING))))
    for record in (said, found):
        record.addresses.sort(key=repr)
        record.opt_outs.sort(key=repr)
    assert found == said
    assert entry_of(found, RING) == entry_of(said, RING)


def test_sealing_leaves_what_is_sealed_alone() -> None:
    said = msgspec.convert({"tenant": "shop", "user_id": "anna", "version": 1, "addresses": ALL}, Preference)
    once = sealed(said, RING)
    assert [address.address for address in once.addresses] == [None] * 3
    assert sealed(once, RING) is once


HOME = partition_of(b"anna", 8)


def folded(standing: bytes | None, value: bytes | None, partition: int = HOME) -> tuple[bytes, bytes | None] | None:
    assert TABLE.fold is not None
    found = TABLE.fold.read(Source(b"anna", value, 5, partition, 8))
    return None if found is None else (found[0], TABLE.fold.after(found[1], standing, RING))


def record(version: int, tenant: str = "shop") -> bytes:
    return msgspec.json.encode({"tenant": tenant, "user_id": "anna", "version": version, "addresses": ALL})


def test_the_fold_keys_by_tenant_and_user_and_forgets_nothing_at_a_tombstone() -> None:
    for tenant in ("shop", "bank"):
        key, found = folded(None, record(3, tenant)) or (b"", None)
        assert key == user_key(tenant, "anna")
        assert (unpack(found or b"").version, unpack(found or b"").accepted_ms) == (3, 5)
    assert folded(None, None) is None
    assert folded(None, b"{") is None


def test_the_fold_leaves_a_greater_entry_and_takes_what_is_equal() -> None:
    standing = pack(Entry(3, 5, [], []))
    assert folded(standing, record(2)) == (user_key("shop", "anna"), standing)
    assert folded(standing, record(3)) != (user_key("shop", "anna"), standing)
    later = pack(Entry(3, 6, [], []))
    assert folded(later, record(3)) == (user_key("shop", "anna"), later)


def test_the_fold_leaves_out_what_lies_in_the_partition_of_others() -> None:
    assert folded(None, record(3), (HOME + 1) % 8) is None
