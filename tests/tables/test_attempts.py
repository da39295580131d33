"""attempts: the judge, as a table of every case."""

from itertools import product

import pytest

from schemas.records import Tried
from tables.attempts import Attempt, State, Verdict, judge, pack, unpack

GO, REPEAT, UNKNOWN, REPLAY = Verdict.GO, Verdict.REPEAT, Verdict.UNKNOWN, Verdict.REPLAY
STARTED, RETRYABLE, ENDED = State.STARTED, State.RETRYABLE, State.ENDED
SAME, OTHER = ("t", 3, 7), ("t", 3, 8)


def latest(state: State, round_: int = 2, number: int = 2) -> Attempt:
    return Attempt(round_, number, *SAME, "twilio", state, 1)


@pytest.mark.parametrize(
    ("state", "place", "round_", "number", "verdict"),
    [
        (STARTED, SAME, 2, 2, UNKNOWN),
        (RETRYABLE, SAME, 2, 2, REPLAY),
        (ENDED, SAME, 2, 2, REPLAY),
        (STARTED, OTHER, 2, 2, REPEAT),
        (RETRYABLE, OTHER, 2, 2, REPEAT),
        (ENDED, OTHER, 2, 2, REPEAT),
        (STARTED, OTHER, 2, 1, REPEAT),
        (RETRYABLE, OTHER, 2, 1, REPEAT),
        (RETRYABLE, OTHER, 1, 9, REPEAT),
        (STARTED, OTHER, 2, 3, GO),
        (RETRYABLE, OTHER, 2, 3, GO),
        (ENDED, OTHER, 2, 3, REPEAT),
        (STARTED, OTHER, 3, 1, GO),
        (RETRYABLE, OTHER, 3, 1, GO),
        (ENDED, OTHER, 3, 1, GO),
    ],
)
def test_the_judge(state: State, place: tuple[str, int, int], round_: int, number: int, verdict: Verdict) -> None:
    assert judge(latest(state), round_, number, *place) is verdict


def test_the_first_record_of_a_delivery_goes() -> None:
    assert judge(None, 1, 1, *SAME) is GO


def test_the_same_offset_of_another_partition_or_topic_is_another_record() -> None:
    for place in (("t", 4, 7), ("u", 3, 7)):
        assert judge(latest(STARTED), 2, 2, *place) is REPEAT


def test_the_record_that_is_recorded_never_goes_again() -> None:
    for state, round_, number in product(State, range(1, 4), range(1, 4)):
        assert judge(latest(state), round_, number, *SAME) in (UNKNOWN, REPLAY)


def test_an_entry_packs_and_unpacks_with_all_that_was_tried() -> None:
    tried = Tried(attempt=1, provider="twilio", sent="maybe", reason="timed_out", at_ms=5, code="x")
    entry = Attempt(1, 2, *SAME, "twilio", RETRYABLE, 9, "retrying", "why", "SM1", 77, True, [tried], True)
    assert unpack(pack(entry)) == entry


def test_an_entry_written_before_a_field_was_added_is_still_read() -> None:
    import msgspec

    whole = msgspec.msgpack.decode(pack(latest(ENDED)))
    assert unpack(msgspec.msgpack.encode(whole[:-1])) == latest(ENDED)
