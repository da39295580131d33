from flows.engine.culprits import MOST, WINDOW_S, Culprits


def found(records: int, culprits: int) -> bool:
    """Whether so many culprits among so many records are too many, told of the last of them."""
    counted = Culprits()
    counted.ran(records, 1000.0)
    return [counted.add(1000.0) for _ in range(culprits)][-1]


def test_more_than_a_thousand_and_more_than_a_twentieth_of_a_minute_are_too_many() -> None:
    assert found(MOST + 1, MOST + 1)
    assert found(20 * MOST, MOST + 1)


def test_a_thousand_are_not_whatever_their_share_and_a_twentieth_is_not_whatever_its_number() -> None:
    assert not found(MOST, MOST)
    assert not found(20 * (MOST + 1), MOST + 1)
    assert not found(100_000, 5_000)


def test_a_minute_that_has_just_begun_is_held_against_the_one_before() -> None:
    counted = Culprits()
    counted.ran(30 * MOST, 0.0)
    counted.ran(MOST + 1, WINDOW_S)
    assert not any([counted.add(WINDOW_S) for _ in range(MOST + 1)])


def test_each_minute_is_counted_for_itself() -> None:
    counted = Culprits()
    for minute in range(5):
        counted.ran(500, minute * WINDOW_S)
        assert not any([counted.add(minute * WINDOW_S) for _ in range(500)])


def test_culprits_count_before_anything_is_done() -> None:
    counted = Culprits()
    assert [counted.add(1000.0) for _ in range(MOST + 1)][-1]
    counted.ran(1, 1000.0)
    assert counted.found == MOST + 1
