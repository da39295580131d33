"""One input record on its way through route: what the agents of the chain pass on, and how it ends."""

from agents.stage import Input, Outbox, position
from schemas import metrics, topics
from schemas.keys import at, user_key
from schemas.records import Notification, Status, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step
from tables.preferences import Entry

_STATUSES = topics.STATUSES.name

ORIGIN = "origin"
"""Header of a record that was keyed again: the position at which its producer wrote it."""


class Intake:
    """A valid notification, in its partition and in time, not yet decided.

    `params` is the JSON of the request's params, its keys in order; `channels` limits a replay to the bits decided
    before (None: fresh); `key` is the table key of the user's preference and `entry` what stands there; `name` is the
    id as topics and tables know it.
    """

    __slots__ = (
        "appended_ms",
        "channels",
        "deadline_ms",
        "entry",
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
        self.owner: tuple[bytes, bytes] | None = None
        self.channels: int | None = None
        self.entry: Entry | None = None


def sealed_params(item: Intake, ring: KeyRing) -> bytes:
    """The params as they leave: as they came sealed, or sealed now."""
    return item.notification.sealed_params or ring.seal(item.params, item.name)


def origin(record: Input) -> str:
    """The position a decision is about: where the producer wrote the record."""
    if record.headers:
        for name, value in record.headers:
            if name == ORIGIN:
                return value.decode()
    return position(record)


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
