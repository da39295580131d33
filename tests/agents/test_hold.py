"""hold: the rooms in which a record waits, and that no choice of rooms is past due or too soon."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.hold import room, wait
from agents.retry import SHORTEST_MS, Moment, retry
from agents.stage import Outbox
from schemas import topics
from schemas.topics import RETRY_TIERS_S
from schemas.vocabulary import Lane
from tests.agents.world import NOW, RING, Clock, Record

LONGEST_MS = 3 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("wait_ms", "tier"),
    [(0, "1s"), (999, "1s"), (1000, "1s"), (1999, "1s"), (2000, "2s"), (7999, "4s"), (8000, "8s"), (29_999, "8s")]
    + [(30_000, "30s"), (120_000, "2m"), (899_999, "2m"), (900_000, "15m"), (3_600_000, "1h"), (LONGEST_MS, "1h")],
)
def test_the_largest_room_that_is_not_past_due_is_taken(wait_ms: int, tier: str) -> None:
    for lane in Lane:
        assert room(lane, wait_ms) == topics.retries(lane, tier)


@given(st.integers(SHORTEST_MS, LONGEST_MS))
def test_a_room_never_overshoots(wait_ms: int) -> None:
    tier = room(Lane.HIGH, wait_ms).name.rpartition(".")[2]
    assert RETRY_TIERS_S[tier] * 1000 <= wait_ms
    assert all(other <= RETRY_TIERS_S[tier] or other * 1000 > wait_ms for other in RETRY_TIERS_S.values())


@settings(max_examples=40, deadline=None)
@given(st.integers(SHORTEST_MS, LONGEST_MS), st.lists(st.integers(0, 3000), max_size=40))
def test_what_waits_in_rooms_comes_out_when_due_and_not_before(wait_ms: int, delays: list[int]) -> None:
    """`delays` are what each room's reader is late by."""
    clock, outbox, due = Clock(), Outbox(), NOW + wait_ms
    stage = retry(Lane.HIGH, RING, clock)
    wait(outbox, Lane.HIGH, "returns.high", b"anna", b"{}", due, clock.now)
    for rooms in range(100):
        topic, key, value, _, headers = outbox.records[-1]
        if topic == "returns.high":
            break
        late = delays[rooms] if rooms < len(delays) else 0
        record, outbox = Record(topic, 0, 0, clock.now, key, value, headers or ()), Outbox()
        clock.now += RETRY_TIERS_S[topic.rpartition(".")[2]] * 1000 + late
        assert stage([record], {}, outbox) is None
        if outbox.calls:
            (moment,) = outbox.calls
            assert isinstance(moment, Moment)
            assert 0 < moment.due_ms - clock.now < SHORTEST_MS
            clock.now = moment.due_ms
            break
    assert clock.now >= due
    assert clock.now <= due + max([0, *delays]), "no later than its reader was"
