"""sealing: what is sealed opens for its context alone, under any key of the ring, and is seen nowhere."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import CarillonError, Misconfigured, Unsealable
from schemas.sealing import KeyRing

OLD, NEW, INDEX = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
RING = KeyRing({1: OLD}, INDEX)
ROTATED = KeyRing({1: OLD, 2: NEW}, INDEX)
PLAIN = b"+4915112345678"


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def unseals(ring: KeyRing, sealed: bytes, context: bytes) -> bool:
    """Whether it opens; if not, the error shows nothing."""
    try:
        ring.open(sealed, context)
    except Unsealable as error:
        shown = f"{error!r} {error}"
        assert PLAIN.decode() not in shown
        assert not any(part in shown for part in (repr(OLD), repr(NEW), text(OLD), text(NEW), repr(sealed)))
        return False
    return True


@given(st.binary(max_size=500), st.binary(max_size=50))
def test_what_is_sealed_opens_for_its_context(plain: bytes, context: bytes) -> None:
    sealed = RING.seal(plain, context)
    assert RING.open(sealed, context) == plain
    assert len(sealed) == 1 + 12 + len(plain) + 16


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_it_opens_for_no_other_context(context: bytes, other: bytes) -> None:
    assert unseals(RING, RING.seal(PLAIN, context), other) == (context == other)


@given(st.data())
def test_it_does_not_open_once_a_bit_is_altered_or_a_byte_is_missing(data: st.DataObject) -> None:
    sealed = bytearray(RING.seal(PLAIN, b"anna"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert not unseals(RING, bytes(sealed), b"anna")
    whole = RING.seal(PLAIN, b"anna")
    assert not unseals(RING, whole[:place], b"anna")


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    before, after = RING.seal(PLAIN, b"anna"), ROTATED.seal(PLAIN, b"anna")
    assert ROTATED.open(before, b"anna") == ROTATED.open(after, b"anna") == PLAIN
    assert after[0] == 2
    with pytest.raises(Unsealable, match="no key 2 in the ring: add it to CARILLON_KEYS"):
        RING.open(after, b"anna")


def test_look_ups_stay_the_same_when_keys_rotate_and_differ_between_tenants_and_index_keys() -> None:
    found = RING.address_hash("shop", "a@b.de")
    assert ROTATED.address_hash("shop", "a@b.de") == found
    assert ROTATED.digest(b"request") == RING.digest(b"request")
    assert len({found, RING.address_hash("bank", "a@b.de"), KeyRing({1: OLD}, NEW).address_hash("shop", "a@b.de")}) == 3
    assert KeyRing({1: OLD}, NEW).digest(b"request") != RING.digest(b"request")
    assert len(found) == 32


def test_the_same_text_never_looks_the_same_twice_and_a_process_does_not_run_out_of_nonces() -> None:
    assert len({RING.seal(PLAIN, b"anna") for _ in range(1000)}) == 1000
    nonces = [RING.seal(b"", b"")[1:13] for _ in range(2)]
    counted = [int.from_bytes(nonce[-5:], "big") for nonce in nonces]
    assert nonces[0][:7] == nonces[1][:7] != KeyRing({1: OLD}, INDEX).seal(b"", b"")[1:8]
    assert counted[1] == counted[0] + 1
    assert 256**5 / (10_000 * 365 * 86_400) > 3, "years at ten thousand a second"


def test_neither_key_nor_plain_text_is_in_any_repr() -> None:
    shown = f"{ROTATED!r} {ROTATED} {vars(ROTATED).keys()}"
    assert repr(ROTATED) == "KeyRing(ids=[1, 2])"
    assert not any(part in shown for part in (repr(OLD), repr(NEW), repr(INDEX), text(OLD), text(INDEX)))


@pytest.mark.parametrize(
    ("keys", "index"),
    [
        ("", text(INDEX)),
        ("1:c2hvcnQ=", text(INDEX)),
        (f"256:{text(OLD)}", text(INDEX)),
        (f"0:{text(OLD)}", text(INDEX)),
        (f"one:{text(OLD)}", text(INDEX)),
        (text(OLD), text(INDEX)),
        (f"1:{text(OLD)}*", text(INDEX)),
        (f"1:{text(OLD)}", "c2hvcnQ="),
        (f"1:{text(OLD)}", "*"),
    ],
)
def test_keys_that_do_not_fit_are_refused_by_the_name_of_their_setting_and_not_by_their_value(
    keys: str, index: str
) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_") as caught:
        KeyRing.from_text(keys, index)
    assert isinstance(caught.value, CarillonError)
    assert text(OLD) not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_ring_is_read_from_its_settings() -> None:
    ring = KeyRing.from_text(f"1:{text(OLD)},2:{text(NEW)}", text(INDEX))
    assert ring.open(ROTATED.seal(PLAIN, b"anna"), b"anna") == PLAIN
