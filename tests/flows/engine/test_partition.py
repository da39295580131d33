from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.engine.partition import Partition, Verdict


class Found(NamedTuple):
    """A record as it was read."""

    offset: int
    topic: str = "t"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def found(*offsets: int) -> list[Found]:
    return [Found(offset) for offset in offsets]


@pytest.fixture
def part() -> Partition:
    """A partition that is read from 10."""
    return Partition("t", 0, 10)


def test_what_begins_at_the_next_offset_is_taken_and_moves_it(part: Partition) -> None:
    assert part.receive(found(10, 11, 12)) == (Verdict.TAKE, found(10, 11, 12))
    assert part.next == 13


def test_records_before_the_next_offset_are_dropped_and_those_behind_it_taken(part: Partition) -> None:
    assert part.receive(found(8, 9, 10, 11)) == (Verdict.TAKE, found(10, 11))
    assert part.next == 12


def test_records_that_all_lie_before_the_next_offset_are_put_back(part: Partition) -> None:
    assert part.receive(found(3, 4)) == (Verdict.PUT_BACK, ())
    assert part.next == 10


def test_records_past_the_next_offset_are_put_back_once_and_a_gap_that_repeats_is_real(part: Partition) -> None:
    assert part.receive(found(15, 16)) == (Verdict.PUT_BACK, ())
    assert part.next == 10
    assert part.receive(found(15, 16)) == (Verdict.TAKE, found(15, 16))
    assert part.next == 17


def test_a_gap_is_forgotten_when_what_was_missing_arrives(part: Partition) -> None:
    part.receive(found(15))
    assert part.receive(found(10, 11))[0] is Verdict.TAKE
    part.next = 10
    assert part.receive(found(15))[0] is Verdict.PUT_BACK


def test_two_different_gaps_are_both_put_back(part: Partition) -> None:
    assert part.receive(found(15))[0] is Verdict.PUT_BACK
    assert part.receive(found(20))[0] is Verdict.PUT_BACK
    assert part.receive(found(15))[0] is Verdict.PUT_BACK


def test_a_gap_within_the_records_is_real(part: Partition) -> None:
    assert part.receive(found(10, 14, 15)) == (Verdict.TAKE, found(10, 14, 15))
    assert part.next == 16


def test_nothing_of_a_lost_partition_is_taken(part: Partition) -> None:
    part.lost = True
    assert part.receive(found(10)) == (Verdict.NOTHING, ())
    assert part.next == 10


def test_records_that_arrive_while_a_stage_waits_do_not_move_what_is_read_next(part: Partition) -> None:
    part.receive(found(10, 11, 12))
    part.rewind(11, 99.0)
    assert (part.next, part.turn) == (11, 11)
    assert part.receive(found(11, 12)) == (Verdict.NOTHING, ())
    assert part.next == 11
    part.resume_at = None
    assert part.receive(found(11, 12, 13)) == (Verdict.TAKE, found(11, 12, 13))


def test_a_partition_is_read_unless_it_is_lost_full_or_waits(part: Partition) -> None:
    assert part.reading
    for hindrance in ({"lost": True}, {"full": True}, {"resume_at": 1.0}):
        other = Partition("t", 0, 0)
        for name, value in hindrance.items():
            setattr(other, name, value)
        assert not other.reading


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=30))
def test_what_is_taken_never_overlaps_and_skips_only_what_was_missing_twice(hand_overs: list[tuple[int, int]]) -> None:
    part, taken, missed = Partition("t", 0, 10), [], []
    for first, count in hand_overs:
        before = part.next
        verdict, records = part.receive(found(*range(first, first + count)))
        if verdict is Verdict.TAKE:
            taken += [record.offset for record in records]
            if records[0].offset != before:
                assert (before, records[0].offset) in missed
            missed = []
        elif first > before:
            missed = [(before, first)]
    assert taken == sorted(set(taken))
    assert all(offset >= 10 for offset in taken)
