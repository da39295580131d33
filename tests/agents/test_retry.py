"""retry: the stage over the waiting rooms."""

import msgspec
import pytest

from agents.retry import Moment, destinations, let_go, retry
from agents.stage import Later, Outbox
from flows.retry import flow
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
    record = waiting_in("4s", NOW + 4999)
    _, outbox = run(NOW + 4000, record)
    assert outbox.records == []
    assert outbox.calls == [Moment(OUT, record, NOW + 4999)]
    released = Outbox()
    let_go([Moment(OUT, record, NOW + 4999)], {}, released)
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


TO, DUE = ("to", OUT.encode()), ("due", str(NOW).encode())
NO_WAY: dict[str, list[tuple[str, bytes | None]]] = {
    "no header": [],
    "no due": [TO],
    "no to": [DUE],
    "a null to": [("to", None), DUE],
    "a null due": [TO, ("due", None)],
    "a to that is no UTF-8": [("to", b"\xff"), DUE],
    "a topic of nobody": [("to", b"x"), DUE],
    "a topic of the other lane": [("to", b"sms_notifications.low"), DUE],
    "a topic that nothing is released to": [("to", b"notifications.high"), DUE],
    "a waiting room": [("to", b"retries.high.1s"), DUE],
    "two ways": [TO, TO, DUE],
    "two times": [TO, DUE, DUE],
    "a due that is no number": [TO, ("due", b"soon")],
    "a due in spaces": [TO, ("due", b" 1 ")],
    "a due that int() takes": [TO, ("due", b"1_800_000_000_000")],
    "a due in digits of another script": [TO, ("due", "\u0661".encode())],
    "a negative due": [TO, ("due", b"-1")],
    "a due of any length": [TO, ("due", b"9" * 100_000)],
    "an empty due": [TO, ("due", b"")],
}


@pytest.mark.parametrize("kind", NO_WAY)
def test_a_record_without_a_way_out_is_buried_with_its_body(kind: str) -> None:
    record = Record("retries.high.1s", 3, 9, NOW, b"id", b"body", NO_WAY[kind])
    later, outbox = run(NOW + 1000, record, waiting_in("1s", NOW))
    assert later is None
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert (letter["cause"], letter["position"]) == ("invalid", "retries.high.1s/3/9")
    assert RING.open(msgspec.convert(letter["body"], bytes), b"retries.high.1s/3/9") == b"body"
    assert outbox.records[-1][0] == OUT, "the next one goes its way"


def test_the_rooms_of_a_lane_are_read_by_that_lane_only() -> None:
    with pytest.raises(KeyError):
        retry(Lane.LOW, RING, Clock(NOW + 60_000))([waiting_in("1s", NOW)], {}, Outbox())


@pytest.mark.parametrize("to", destinations(Lane.HIGH))
def test_a_record_goes_on_to_each_topic_that_is_a_destination_of_its_lane(to: str) -> None:
    assert run(NOW + 1000, waiting_in("1s", NOW, to=to))[1].records == [(to, b"id", b"{}", -1, None)]


def test_the_destinations_of_a_lane_are_those_that_its_flow_writes_to() -> None:
    for lane in Lane:
        writes = {topic.name for topic in flow(lane, RING).writes}
        rooms = {topics.retries(lane, tier).name for tier in topics.RETRY_TIERS_S}
        assert set(destinations(lane)) == writes - rooms - {topics.DEAD_LETTERS.name}
