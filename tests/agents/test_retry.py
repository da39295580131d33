"""retry: the stage over the waiting rooms."""

import msgspec
import pytest

from agents.retry import Moment, let_go, retry
from agents.stage import Later, Outbox
from schemas import topics
from schemas.vocabulary import Lane
from tests.agents.world import NOW, RING, Clock, Record, written

OUT = "sms_notifications.high"


def waiting_in(tier: str, due: int, at: int = NOW, offset: int = 0, to: str = OUT) -> Record:
    way = [("to", to.encode()), ("due", str(due).encode())]
    return Record(topics.retries(Lane.HIGH, tier).name, 0, offset, at, b"id", b"{}", way)


def run(now: int, *batch: Record) -> tuple[Later | None, Outbox]:
    outbox = Outbox()
    return retry(Lane.HIGH, RING, Clock(now))(batch, {}, outbox), outbox


def test_a_record_waits_its_room_s_time_from_its_append() -> None:
    early, due = waiting_in("4s", NOW + 4000), waiting_in("4s", NOW + 4000, NOW - 100)
    assert run(NOW + 3999, early)[0] == Later(0, NOW + 4000)
    later, outbox = run(NOW + 4000, early)
    assert later is None
    assert outbox.records == [(OUT, b"id", b"{}", -1, None)]
    assert run(NOW + 3950, due, early)[0] == Later(1, NOW + 4000), "the rest of the batch is handed back"


def test_one_that_is_due_later_goes_to_a_further_room_with_its_way() -> None:
    _, outbox = run(NOW + 4000, waiting_in("4s", NOW + 7000))
    (again,) = outbox.records
    assert again == ("retries.high.2s", b"id", b"{}", -1, [("to", OUT.encode()), ("due", str(NOW + 7000).encode())])


def test_the_last_moment_is_waited_out_by_the_clock_and_no_room() -> None:
    _, outbox = run(NOW + 4000, waiting_in("4s", NOW + 4999))
    assert outbox.records == []
    assert outbox.calls == [Moment(OUT, b"id", b"{}", NOW + 4999)]
    released = Outbox()
    let_go([Moment(OUT, b"id", b"{}", NOW + 4999)], {}, released)
    assert released.records == [(OUT, b"id", b"{}", -1, None)]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_was_wrong_when_it_was_written_makes_nobody_wait_past_the_next_room(hours: int) -> None:
    record = waiting_in("4s", NOW + 4000 + hours * 3_600_000)
    assert run(NOW + 3999, record)[0] == Later(0, NOW + 4000)
    assert run(NOW + 8000, record)[1].records == [(OUT, b"id", b"{}", -1, None)]


def test_the_largest_room_is_waited_in_again_for_as_long_as_providers_may_ask() -> None:
    due = NOW + 5 * 3_600_000
    (again,) = run(NOW + 3_600_000, waiting_in("1h", due))[1].records
    assert again[0] == "retries.high.1h"


def test_one_that_is_overdue_goes_at_once() -> None:
    assert run(NOW + 60_000, waiting_in("4s", NOW + 7000))[1].records == [(OUT, b"id", b"{}", -1, None)]


@pytest.mark.parametrize(
    "headers",
    [[], [("to", b"x")], [("due", b"1")], [("to", b"x"), ("due", b"soon")], [("to", b"\xff"), ("due", b"1")]],
)
def test_a_record_without_a_way_out_is_buried_with_its_body(headers: list[tuple[str, bytes]]) -> None:
    record = Record("retries.high.1s", 3, 9, NOW, b"id", b"body", headers)
    later, outbox = run(NOW + 1000, record, waiting_in("1s", NOW))
    assert later is None
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"]) == ("invalid", "retries.high.1s/3/9")
    assert RING.open(msgspec.convert(letter["body"], bytes), b"retries.high.1s/3/9") == b"body"
    assert outbox.records[-1][0] == OUT, "the next one goes its way"


def test_the_rooms_of_a_lane_are_read_by_that_lane_only() -> None:
    with pytest.raises(KeyError):
        retry(Lane.LOW, RING, Clock(NOW + 60_000))([waiting_in("1s", NOW)], {}, Outbox())
