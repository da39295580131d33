"""admit: is it readable, on its lane, in its user's partition and in time? Otherwise say why not."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from agents.bury import bury
from agents.intake import ORIGIN, Intake, decide
from agents.stage import Input, Outbox, Tables, position
from schemas import metrics, topics
from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.keys import SEPARATOR, murmur2, notification_id, user_key
from schemas.records import MAX_INPUT_BYTES, Notification, Record
from schemas.sealing import KeyRing
from schemas.vocabulary import CLASSES, Lane, Reason, Step
from tables.dedup import WINDOW_S

BEST = "best"
_ONE = {BEST, *CHANNELS}
_ESCAPE = b"\\u00"
"""JSON writes a control character as an escape: without one in the record, no name can hold the separator."""

_decode = msgspec.json.Decoder(Notification).decode
_decode_major = msgspec.json.Decoder(Record).decode


def read(value: bytes | None) -> Notification:
    """A notification from its JSON. Raises Malformed with the reason it is buried under."""
    if value is None:
        raise Malformed(Reason.NULL_RECORD)
    if len(value) > MAX_INPUT_BYTES:
        raise Malformed(Reason.TOO_LARGE, f"{len(value)} bytes, at most {MAX_INPUT_BYTES}")
    try:
        notification = _decode(value)
    except msgspec.ValidationError:
        raise Malformed(_newer(value) or Reason.INVALID) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(Reason.UNREADABLE, type(error).__name__) from None
    if notification.schema > 1:
        raise Malformed(Reason.NEWER_SCHEMA, f"schema {notification.schema}, this reader knows 1")
    if _ESCAPE in value and SEPARATOR in f"{notification.tenant}{notification.user_id}{notification.idempotency_key}":
        raise Malformed(Reason.INVALID, "a name holds the separator of keys, U+001F")
    channels = notification.channels
    if not channels:
        raise Malformed(Reason.INVALID, "channels is empty")
    if not (channels in _ONE if isinstance(channels, str) else CHANNELS.keys() >= set(channels)):
        raise Malformed(Reason.UNKNOWN_CHANNEL)
    return notification


def _of_the_engine(asked: Notification) -> bool:
    fresh = asked.sealed_params is None and asked.due_ms is None and asked.accepted_ms is None
    return not (fresh and asked.tries == 0 and asked.round == 1)


def _newer(value: bytes) -> Reason | None:
    try:
        return Reason.NEWER_SCHEMA if _decode_major(value).schema > 1 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def deadline_ms(notification: Notification, appended_ms: int) -> int:
    """When a notification is of no use any more: as asked, else by its class from its append."""
    asked: datetime | None = notification.deadline
    if asked is not None:
        return int(asked.timestamp() * 1000)
    return appended_ms + CLASSES[notification.message_class].deadline_s * 1000


def admit(
    lane: Lane, ring: KeyRing, partitions: int, clock: Callable[[], int]
) -> Callable[[Sequence[Input], Tables, Outbox], list[Intake]]:
    """The agent of one lane: records in, intakes out. `clock` gives epoch milliseconds, once a batch."""
    returns, misplaced = topics.returns(lane).name, topics.misplaced(lane).name
    window_ms = WINDOW_S * 1000
    own = {kind for kind, rule in CLASSES.items() if rule.lane is lane}

    def agent(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> list[Intake]:
        now = clock()
        admitted = []
        for record in batch:
            try:
                asked = read(record.value)
                if record.topic != returns and _of_the_engine(asked):
                    raise Malformed(Reason.INVALID, "has fields that only the engine writes")
                if asked.message_class not in own:
                    raise Malformed(Reason.WRONG_LANE, f"class {asked.message_class.value}")
            except Malformed as error:
                bury(outbox, record, error.reason, now, ring, lane, error.detail)
                continue
            user = asked.user_id.encode()
            if murmur2(None, user, len(user), partitions, None, None) != record.partition:
                _key_again(outbox, record, user, misplaced, lane)
                continue
            appended = asked.accepted_ms or record.timestamp if record.topic == returns else record.timestamp
            id_ = notification_id(asked.tenant, lane, asked.user_id, asked.idempotency_key)
            item = Intake(
                record, asked, id_, user_key(asked.tenant, asked.user_id), appended, deadline_ms(asked, appended)
            )
            if now - record.timestamp > window_ms and record.topic != returns:
                decide(outbox, lane, item, Step.EXPIRED, now, Reason.PAST_WINDOW)
            elif item.deadline_ms <= now:
                decide(outbox, lane, item, Step.EXPIRED, now, Reason.PAST_DEADLINE)
            else:
                admitted.append(item)
        return admitted

    return agent


def _key_again(outbox: Outbox, record: Input, user: bytes, topic: str, lane: Lane) -> None:
    headers = [(ORIGIN, position(record).encode())]
    outbox.records.append((topic, user, record.value, -1, headers))
    outbox.count(metrics.MISPLACED, lane.value)
