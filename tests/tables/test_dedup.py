"""dedup: the entry."""

from hypothesis import given
from hypothesis import strategies as st

from tables.dedup import TABLE, WINDOW_S, Owner, pack, unpack

OWNERS = st.builds(
    Owner,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 255),
)


@given(OWNERS)
def test_an_entry_of_29_bytes_packs_and_unpacks(owner: Owner) -> None:
    entry = pack(*owner)
    assert len(entry) == 29
    assert unpack(entry) == owner


def test_an_entry_outlives_its_window() -> None:
    assert TABLE.keep_s is not None
    assert TABLE.keep_s >= WINDOW_S + 3600
