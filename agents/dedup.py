"""dedup: has this request been decided before? A repeat ends here; our own replay goes through as it went.

What is past its deadline and no repeat expires here, and owns no key: it leaves that to the next of its request.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from agents.bury import bury
from agents.intake import Intake, decide, origin
from agents.stage import Input, Outbox, Tables
from schemas import topics
from schemas.channels import CHANNELS
from schemas.keys import at, category_key
from schemas.records import Notification, canonical, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import BEST, Lane, Reason, Step
from tables.dedup import GENERATION, WINDOW_S, Owner, pack, unpack

_BITS = {BEST: 0, **{name: channel.bit for name, channel in CHANNELS.items()}}
_NO_FLOAT = frozenset((float, dict, list)).isdisjoint
"""Types of values -> whether none of them can be a float or hold one; most params are text."""
_read_params = msgspec.json.Decoder(dict[str, object]).decode


def request_digest(asked: Notification, params: bytes, ring: KeyRing) -> bytes:
    """8 bytes of what is asked for, however its producer wrote it; `produced_at`, the producer's clock, takes no part.

    Channels are a set, a category counts as it is compared, a deadline by its instant, a number by its value.
    """
    channels, deadline = asked.channels, asked.deadline
    if isinstance(channels, str):
        wanted = _BITS[channels]
    else:
        wanted = 0
        for name in channels:
            wanted |= _BITS[name]
    until = deadline.timestamp() if deadline is not None else None
    said = asked.params if asked.sealed_params is None else _read_params(params)
    if not _NO_FLOAT(map(type, said.values())) and _holds_float(said.values()):
        params = canonical(_by_value(said))
    category, template = category_key(asked.category), asked.template_id
    rest = (wanted, category, asked.message_class, template, asked.template_version, until, asked.collapse_key)
    return ring.digest(encode(rest) + params)


def _holds_float(values: Iterable[object]) -> bool:
    return any(
        isinstance(each, float)
        or (isinstance(each, dict) and _holds_float(each.values()))
        or (isinstance(each, list) and _holds_float(each))
        for each in values
    )


def _by_value(said: object) -> object:
    if isinstance(said, dict):
        return {name: _by_value(inner) for name, inner in said.items()}
    if isinstance(said, list):
        return [_by_value(inner) for inner in said]
    return int(said) if isinstance(said, float) and said.is_integer() else said


def dedup(
    lane: Lane, ring: KeyRing, clock: Callable[[], int]
) -> Callable[[Sequence[Intake], Tables, Outbox], list[Intake]]:
    """The agent of one lane. Writes the owner of each new key; what route decides is added to it."""
    returns, misplaced = topics.returns(lane).name, topics.misplaced(lane).name
    window_ms, notifications = WINDOW_S * 1000, topics.notifications(lane).name

    def agent(items: Sequence[Intake], tables: Tables, outbox: Outbox) -> list[Intake]:
        now, entries = clock(), tables["dedup"]
        keys = [at(item.record.partition, item.name) for item in items]
        entries.load(keys)
        passed = []
        for item, key in zip(items, keys, strict=True):
            record = item.record
            if record.topic == returns:
                passed.append(item)
                continue
            digest = request_digest(item.notification, item.params, ring)
            source = _before_keyed_again(record) if record.topic == misplaced else (0, record.partition, record.offset)
            mine = (GENERATION, *source, record.timestamp, digest)
            entry = entries.get(key)
            owner = unpack(entry) if entry is not None else None
            is_new = owner is None or record.timestamp - owner.appended_ms >= window_ms
            if item.expired and (owner is None or is_new or _ours(owner, mine)):
                decide(outbox, lane, item, Step.EXPIRED, now, Reason.PAST_DEADLINE)
            elif entry is None or owner is None or is_new:
                entries[key] = fresh = pack(*mine, 0)
                item.owner = (key, fresh)
                passed.append(item)
            elif _ours(owner, mine):
                item.owner = (key, entry)
                item.channels = owner.channels or None
                passed.append(item)
            elif owner.digest == digest:
                decide(outbox, lane, item, Step.DUPLICATE, now, Reason.SAME_REQUEST)
            else:
                bury(outbox, record, Reason.CONFLICT, now, ring, lane, _asked_before(owner, notifications))
        return passed

    return agent


def _before_keyed_again(record: Input) -> tuple[int, int, int]:
    """Where its producer wrote a misplaced record, which stays the same when a replay keys it again, further on."""
    _, partition, offset = origin(record).rsplit("/", 2)
    return 1, int(partition), int(offset)


def _asked_before(owner: Owner, topic: str) -> str:
    return f"its idempotency key asked for something else at {topic}/{owner.partition}/{owner.offset}"


def _ours(owner: Owner, mine: tuple[int, int, int, int, int, bytes]) -> bool:
    """Whether the record owns the key itself: then this is a replay.

    One before the owner does not: within the window it was a repeat of the owner before, and past it admit ends it.
    """
    return owner[:4] == mine[:4]
