"""retry: a record that waited its room's time goes on: to a further room, or, when it is due, to its destination."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agents.bury import post
from agents.hold import DUE, TO, release, wait
from agents.intake import ORIGIN
from agents.policy import STALE_MS
from agents.stage import Input, Later, Outbox, Tables, header, position
from schemas import topics
from schemas.channels import CHANNELS
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason

_DUE = re.compile(rb"[0-9]{1,16}")
"""Epoch milliseconds in plain digits, as `wait` writes them: int() would take more, of any length."""

_NO_WAY = f"no single headers `{TO}`, a topic of its lane, and `{DUE}`, in epoch milliseconds"

SHORTEST_MS = min(topics.RETRY_TIERS_S.values()) * 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """A record whose rooms are behind it, less than the shortest of them before it is due."""

    to: str
    record: Input
    due_ms: int


def retry(
    lane: Lane, ring: KeyRing, clock: Callable[[], int]
) -> Callable[[Sequence[Input], Tables, Outbox], Later | None]:
    """The stage over the waiting rooms of one lane."""
    rooms_ms = {topics.retries(lane, tier).name: seconds * 1000 for tier, seconds in topics.RETRY_TIERS_S.items()}
    ways = {name.encode(): name for name in destinations(lane)}
    # Whoever had longer to wait would lie in a larger room: a clock that was ahead wrote when it is due.
    next_room_ms = dict(pairwise(sorted(rooms_ms.values())))

    def stage(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> Later | None:
        now = clock()
        for index, record in enumerate(batch):
            room_ms = rooms_ms[record.topic]
            waited_until = record.timestamp + room_ms
            if waited_until > now:
                return Later(index, waited_until)
            way = _way(record, ways)
            if way is None:
                post(outbox, record, position(record), Reason.INVALID, now, ring, _NO_WAY)
                continue
            to, due_ms = way
            due_ms = min(due_ms, record.timestamp + next_room_ms.get(room_ms, STALE_MS))
            left = due_ms - now
            if left <= 0:
                release(outbox, to, record.key, record.value, header(record, ORIGIN))
            elif left < SHORTEST_MS:
                outbox.call(Moment(to, record, due_ms))
            else:
                came_from = header(record, ORIGIN)
                wait(outbox, lane, to, record.key or b"", record.value or b"", due_ms, now, came_from)
        return None

    return stage


def _way(record: Input, ways: Mapping[bytes, str]) -> tuple[str, int] | None:
    to, due = header(record, TO), header(record, DUE)
    if to is None or due is None or to not in ways or _DUE.fullmatch(due) is None:
        return None
    return ways[to], int(due)


def destinations(lane: Lane) -> list[str]:
    """The topics to which records go on from the waiting rooms of a lane."""
    intakes = (topics.returns(lane).name, topics.misplaced(lane).name)
    return [*intakes, *(topics.deliveries(channel, lane).name for channel in CHANNELS)]


def let_go(moments: Sequence[Moment], tables: Tables, outbox: Outbox) -> None:
    """The stage over moments that have come."""
    for moment in moments:
        release(outbox, moment.to, moment.record.key, moment.record.value, header(moment.record, ORIGIN))
