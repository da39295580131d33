from hypothesis import given
from hypothesis import strategies as st

from flows.engine.batch import Batch, cut
from flows.engine.kafka.fetched import Fetched
from flows.engine.partition import Partition


def batch(number: int, offsets: list[int], starts: int) -> Batch:
    """Records of one partition."""
    return Batch(Partition("t", number, starts), [Fetched("t", number, at, 0, None, None) for at in offsets], starts)


BATCHES = st.lists(st.sets(st.integers(1, 50), min_size=1).map(sorted), max_size=4).map(
    lambda found: [batch(number, offsets, 0) for number, offsets in enumerate(found)]
)


def records(batches: list[Batch]) -> list[Fetched]:
    """All of some batches, in order."""
    return [record for one in batches for record in one.records]  # type: ignore[misc]


@given(BATCHES, st.integers(0, 250))
def test_what_is_cut_is_whole_and_in_order_and_each_piece_follows_on_the_one_before(
    batches: list[Batch], count: int
) -> None:
    first, rest = cut(batches, count)
    assert records(first) == records(batches)[:count]
    assert records(rest) == records(batches)[count:]
    assert all(one.records for one in (*first, *rest))
    ends = {one.part.number: one.records[-1].offset + 1 for one in first}
    assert all(one.starts == ends.get(one.part.number, 0) for one in rest)
