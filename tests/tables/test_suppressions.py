"""suppressions: positive records; the later one of a key holds."""

from itertools import permutations

import pytest

from schemas.keys import address_suppression, opt_out_suppression
from schemas.records import Suppression, encode
from schemas.sealing import KeyRing
from tables.suppressions import TABLE, blocks, keys_of, pack
from tables.table import Source

RING = KeyRing({1: bytes(32)}, bytes(32))


def test_a_delivery_is_asked_about_by_address_and_by_user_for_its_channel_its_category_and_all() -> None:
    assert keys_of("shop", "anna", "sms", "news", "hash") == [
        address_suppression("shop", "hash", "sms"),
        address_suppression("shop", "hash", "*"),
        *(opt_out_suppression("shop", "anna", c, w) for c in ("sms", "*") for w in ("news", "*")),
    ]


def test_no_key_of_an_address_is_one_of_a_user_and_none_of_another_tenant() -> None:
    mine, theirs = keys_of("shop", "anna", "sms", "news", "hash"), keys_of("bank", "anna", "sms", "news", "hash")
    assert len({*mine, *theirs}) == 12


def test_only_a_record_that_says_blocked_blocks() -> None:
    assert not blocks(None)
    assert blocks(pack(True, 5))
    assert not blocks(pack(False, 5))


def after(standing: bytes | None, value: bytes | None) -> bytes | None:
    """The entry after a record."""
    assert TABLE.fold is not None
    found = TABLE.fold.read(Source(b"k", value, 1, 0, 1))
    if found is None:
        return standing
    assert found[0] == b"k"
    return TABLE.fold.after(found[1], standing, RING)


def told(since_ms: int, blocked: bool) -> bytes:
    return encode(Suppression(key="k", blocked=blocked, reason="stop", since_ms=since_ms))


@pytest.mark.parametrize("blocked", [True, False])
def test_the_fold_takes_what_the_record_says_and_a_tombstone_lifts_nothing(blocked: bool) -> None:
    assert after(None, told(9, blocked)) == pack(blocked, 9)
    assert after(pack(True, 9), None) == pack(True, 9)
    assert after(pack(True, 9), b"{") == pack(True, 9)


def test_in_any_order_the_record_of_the_latest_moment_holds() -> None:
    for order in permutations([told(1, True), told(2, False), told(3, True), told(2, True)]):
        entry = None
        for record in order:
            entry = after(entry, record)
        assert entry == pack(True, 3)


def test_of_two_records_of_one_moment_the_one_that_lies_later_holds() -> None:
    assert after(pack(True, 9), told(9, False)) == pack(False, 9)
