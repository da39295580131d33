"""preferences: what of a preference record is kept, in which form and order."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.channels import CHANNELS
from schemas.keys import user_key
from schemas.records import Preference
from schemas.sealing import KeyRing
from tables.preferences import Entry, context, entry_of, fold, pack, unpack

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
    (reach,) = entry(addresses=[{"channel": "sms", "sealed": "AAAA", "hash": "abc"}]).reaches
    assert (reach.sealed, reach.hash) == (b"\0\0\0", "abc")


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


def test_the_fold_keys_by_tenant_and_user_and_forgets_nothing_at_a_tombstone() -> None:
    record = msgspec.json.encode({"tenant": "shop", "user_id": "anna", "version": 3, "addresses": ALL})
    folded = fold(b"anna", record, RING)
    assert folded is not None
    key, found = folded
    assert key == user_key("shop", "anna")
    assert unpack(found or b"").version == 3
    assert fold(b"anna", None, RING) is None
    assert fold(b"anna", b"{", RING) is None
