"""suppressions: positive records; the later one of a key holds."""

from itertools import permutations

import pytest

from agents.policy import STALE_MS
from schemas.keys import address_suppression, user_suppression
from schemas.records import Suppression, encode
from schemas.sealing import KeyRing
from tables.suppressions import OPT_OUTS_FOR_MS, TABLE, address_keys, blocks, pack, refuses
from tables.table import Source

RING = KeyRing({1: bytes(32)}, bytes(32))


NOW = 1_800_000_000_000


def test_an_address_is_asked_about_on_its_channel_and_on_all() -> None:
    assert address_keys("shop", "sms", "hash") == (
        address_suppression("shop", "hash", "sms"),
        address_suppression("shop", "hash", "*"),
    )


def test_no_key_of_an_address_is_one_of_a_user_and_none_of_another_tenant() -> None:
    tenants = ("shop", "bank")
    keys = {key for tenant in tenants for key in address_keys(tenant, "sms", "anna")}
    assert len(keys | {user_suppression(tenant, "anna") for tenant in tenants}) == 6


@pytest.mark.parametrize(
    ("opt_outs", "expected"),
    [
        (["sms/news"], True),
        (["sms/*"], True),
        (["*/news"], True),
        (["*/*"], True),
        (["email/*", "sms/orders"], False),
        (["email/*", "sms/news"], True),
        ([], False),
    ],
)
def test_the_opt_outs_of_a_user_refuse_what_they_cover(opt_outs: list[str], expected: bool) -> None:
    entry = pack(bool(opt_outs), NOW, opt_outs)
    assert refuses(entry, "sms", "News", NOW) is expected
    assert not refuses(None, "sms", "news", NOW)


def test_opt_outs_expire_an_hour_after_every_decision_that_does_not_know_them() -> None:
    entry = pack(True, NOW, ["*/*"])
    assert STALE_MS < OPT_OUTS_FOR_MS
    assert refuses(entry, "sms", "news", NOW + OPT_OUTS_FOR_MS)
    assert not refuses(entry, "sms", "news", NOW + OPT_OUTS_FOR_MS + 1)
    assert blocks(entry), "the suppression of an address stays"


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


def test_the_later_opt_outs_of_a_user_take_back_what_they_do_not_name() -> None:
    before = encode(Suppression(key="k", blocked=True, reason="r", since_ms=NOW, opt_outs=["sms/news", "*/orders"]))
    later = encode(Suppression(key="k", blocked=True, reason="r", since_ms=NOW + 1, opt_outs=["*/orders"]))
    for order in ((before, later), (later, before)):
        entry = after(after(None, order[0]), order[1])
        assert (refuses(entry, "sms", "news", NOW), refuses(entry, "sms", "orders", NOW)) == (False, True)
