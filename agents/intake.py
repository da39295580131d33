"""One input record on its way through route: what the agents of the chain pass on, and how it ends."""

import re

from agents.stage import Input, Outbox, header, position
from schemas import metrics, topics
from schemas.keys import at, user_key
from schemas.records import Notification, Status, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step
from tables.preferences import Entry

_STATUSES = topics.STATUSES.name

ORIGIN = "origin"
"""Header of a record that was keyed again: the position at which its producer wrote it."""

_ORIGINS = {
    topics.misplaced(lane).name: re.compile(
        rf"(?:{re.escape(topics.notifications(lane).name)}|{re.escape(topics.returns(lane).name)})"
        r"/(0|[1-9][0-9]{0,4})/(0|[1-9][0-9]{0,18})".encode()
    )
    for lane in Lane
}
"""The topics that the engine alone writes records to that it keyed again, and what their origin looks like."""
_MOST = 2**16 - 1, 2**63 - 1
"""The greatest partition and offset that an entry of dedup holds."""


class Intake:
    """A valid notification, in its partition, not yet decided.

    `params` is the JSON of the request's params, its keys in order; `channels` limits a replay to the bits decided
    before (None: fresh); `expired` says that its deadline has come: it ends so, unless it is a repeat; `key` is the
    table key of the user's preference and `entry` what stands there; `name` is the id as topics and tables know it.
    """

    __slots__ = (
        "appended_ms",
        "channels",
        "deadline_ms",
        "entry",
        "expired",
        "id",
        "key",
        "name",
        "notification",
        "owner",
        "params",
        "record",
    )

    def __init__(
        self, record: Input, notification: Notification, id_: str, params: bytes, appended_ms: int, deadline_ms: int
    ) -> None:
        self.record = record
        self.notification = notification
        self.id = id_
        self.name = id_.encode()
        self.key = at(record.partition, user_key(notification.tenant, notification.user_id))
        self.params = params
        self.appended_ms = appended_ms
        self.deadline_ms = deadline_ms
        self.expired = False
        self.owner: tuple[bytes, bytes] | None = None
        self.channels: int | None = None
        self.entry: Entry | None = None


def sealed_params(item: Intake, ring: KeyRing) -> bytes:
    """The params as they leave: as they came sealed, or sealed now."""
    return item.notification.sealed_params or ring.seal(item.params, item.name)


def origin(record: Input) -> str:
    """The position a decision is about: where the producer wrote the record. Only the engine says another than its own,
    on a topic of its own: a producer may name any header `origin`."""
    found = keyed_again_from(record) if record.topic in _ORIGINS else None
    return found or position(record)


def keyed_again_from(record: Input) -> str | None:
    """The origin of a record that was keyed again: topic/partition/offset; None where its headers name none."""
    told = header(record, ORIGIN)
    found = _ORIGINS[record.topic].fullmatch(told) if told is not None else None
    if found is None or int(found[1]) > _MOST[0] or int(found[2]) > _MOST[1]:
        return None
    return found[0].decode()


def decide(
    outbox: Outbox, lane: Lane, item: Intake, step: Step, now_ms: int, reason: Reason = Reason.NONE, deliveries: int = 0
) -> None:
    """The one decision of a valid input record, as a status and as a count."""
    tell(outbox, item, step, now_ms, reason, deliveries)
    outbox.count(metrics.DECISIONS, lane, step, reason)


def tell(outbox: Outbox, item: Intake, step: Step, now_ms: int, reason: Reason, deliveries: int) -> None:
    """The status of a decision, for a caller that counts a batch at once."""
    asked = item.notification
    status = Status(
        notification_id=item.id,
        tenant=asked.tenant,
        user_id=asked.user_id,
        step=step,
        at_ms=now_ms,
        position=origin(item.record),
        accepted_ms=item.appended_ms,
        round=asked.round,
        reason=reason,
        deliveries=deliveries,
    )
    outbox.records.append((_STATUSES, item.name, encode(status), -1, None))
