"""suppressions: positive records; the later one of a key holds."""

from schemas.keys import address_suppression, opt_out_suppression
from schemas.records import Suppression, encode
from schemas.sealing import KeyRing
from tables.suppressions import blocks, fold, keys_of, pack

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


def test_the_fold_takes_what_the_record_says_and_a_tombstone_lifts_nothing() -> None:
    for blocked in (True, False):
        told = encode(Suppression(key="k", blocked=blocked, reason="stop", since_ms=9))
        assert fold(b"k", told, RING) == (b"k", pack(blocked, 9))
    assert fold(b"k", None, RING) is None
    assert fold(b"k", b"{", RING) is None
