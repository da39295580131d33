from hypothesis import given
from hypothesis import strategies as st

from flows.engine.state.changelog import pack, unpack
from schemas.records import MAX_VALUE_BYTES


@given(st.dictionaries(st.binary(max_size=40), st.none() | st.binary(max_size=60), min_size=1, max_size=30))
def test_what_a_batch_wrote_is_one_record_and_comes_back_whole(entries: dict[bytes, bytes | None]) -> None:
    [value] = pack(entries)
    assert unpack(value) == entries


def test_what_is_too_large_for_one_record_comes_in_several_that_fit() -> None:
    entries = {b"%d" % number: bytes(100_000) for number in range(30)}
    values = list(pack(entries))
    assert max(len(value) for value in values) <= MAX_VALUE_BYTES
    together: dict[bytes, bytes | None] = {}
    for value in values:
        together |= unpack(value)
    assert together == entries
    assert list(together) == list(entries)
