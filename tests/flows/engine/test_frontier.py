from hypothesis import given
from hypothesis import strategies as st

from flows.engine.frontier import Frontier


def test_a_new_frontier_stands_at_its_start_with_nothing_under_way() -> None:
    frontier = Frontier(7)
    assert (frontier.position, frontier.committed, frontier.waiting_since()) == (7, 7, None)


def test_a_span_that_is_done_behind_an_open_one_waits_for_it() -> None:
    frontier = Frontier(0)
    first, second = frontier.begin(10, 1.0), frontier.begin(25, 2.0)
    frontier.finish(second)
    assert (frontier.position, frontier.waiting_since()) == (0, 1.0)
    frontier.finish(first)
    assert (frontier.position, frontier.waiting_since()) == (25, None)


def test_the_oldest_open_span_tells_since_when_the_frontier_waits() -> None:
    frontier = Frontier(0)
    first, second = frontier.begin(1, 10.0), frontier.begin(2, 20.0)
    frontier.finish(second)
    assert frontier.waiting_since() == 10.0
    frontier.finish(first)
    assert frontier.waiting_since() is None


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), data=st.data())
def test_what_may_be_committed_is_the_contiguous_prefix_of_what_is_done_whatever_the_order_of_acks(
    lengths: list[int], data: st.DataObject
) -> None:
    frontier, ends = Frontier(100), [100 + sum(lengths[: place + 1]) for place in range(len(lengths))]
    spans = [frontier.begin(end, 0.0) for end in ends]
    done: set[int] = set()
    for place in data.draw(st.permutations(range(len(spans)))):
        frontier.finish(spans[place])
        done.add(place)
        prefix = next((index for index in range(len(spans)) if index not in done), len(spans))
        assert frontier.position == ([100, *ends][prefix])
        assert (frontier.waiting_since() is None) == (prefix == len(spans))
