import pytest

from flows.engine.turns import Turns


def test_topics_take_turns_and_what_is_of_one_topic_keeps_its_order() -> None:
    turns: Turns[int] = Turns()
    for topic, work in [("people", 1), ("people", 2), ("people", 3), ("orders", 10), ("orders", 11)]:
        turns.add(topic, work)
    assert [turns.next() for _ in range(5)] == [1, 10, 2, 11, 3]


def test_a_topic_that_comes_waits_for_one_piece_of_another() -> None:
    turns: Turns[int] = Turns()
    for work in (1, 2, 3):
        turns.add("people", work)
    assert turns.next() == 1
    turns.add("orders", 10)
    assert [turns.next() for _ in range(3)] == [2, 10, 3]


def test_nothing_that_waits_is_an_error() -> None:
    with pytest.raises(StopIteration):
        Turns[int]().next()
