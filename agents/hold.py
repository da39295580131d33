"""How a record waits: in the waiting room of its lane whose time fits, with the way it goes on in its headers.

`to` is the topic it is released to, `due` when (epoch ms). A room is a topic whose records each wait the room's time
from their append; so nobody waits behind a later one. The largest room that does not overshoot is taken, again and
again, until the time has come.
"""

import msgspec

from agents.intake import ORIGIN, Intake, sealed_params
from agents.stage import Outbox
from schemas import topics
from schemas.records import encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane

TO, DUE = "to", "due"
UNDECRYPTABLE_WAIT_MS = 30_000
"""How long what no key here opens waits before it is looked at again, by a process that may have the key."""
_ROOMS = sorted(topics.RETRY_TIERS_S.items(), key=lambda room: -room[1])


def room(lane: Lane, wait_ms: int) -> topics.Topic:
    """The largest room whose time is not past the wait; the smallest one for anything shorter."""
    for tier, seconds in _ROOMS:
        if seconds * 1000 <= wait_ms:
            return topics.retries(lane, tier)
    return topics.retries(lane, _ROOMS[-1][0])


def wait(
    outbox: Outbox,
    lane: Lane,
    to: str,
    key: bytes,
    value: bytes,
    due_ms: int,
    now_ms: int,
    came_from: bytes | None = None,
) -> None:
    """Let a record wait until `due_ms`, then go to topic `to` under `key`; with its origin if it was keyed again."""
    way = [(TO, to.encode()), (DUE, str(due_ms).encode())]
    outbox.send(room(lane, due_ms - now_ms), key, value, way + ([(ORIGIN, came_from)] if came_from else []))


def release(outbox: Outbox, to: str, key: bytes | None, value: bytes | None, came_from: bytes | None = None) -> None:
    """Let a record go on to topic `to` now; with its origin, where it was keyed again."""
    outbox.records.append((to, key, value, -1, [(ORIGIN, came_from)] if came_from else None))


def hold(outbox: Outbox, lane: Lane, item: Intake, tries: int, due_ms: int, now_ms: int, ring: KeyRing) -> None:
    """Let a notification return at `due_ms`, sealed, behind dedup; `tries` look-ups of its user are behind it then."""
    asked = item.notification
    again = msgspec.structs.replace(
        asked,
        params={},
        sealed_params=sealed_params(item, ring),
        tries=tries,
        accepted_ms=item.appended_ms,
        due_ms=due_ms,
    )
    to, key = topics.returns(lane).name, asked.user_id.encode()
    wait(outbox, lane, to, key, encode(again), due_ms, now_ms)
