"""The topic catalogue: nothing else spells a topic name, its key, its records or how long they stay."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.channels import CHANNELS
from schemas.records import (
    MAX_BATCH_BYTES,
    DeadLetter,
    Delivery,
    KeyRegistration,
    Notification,
    Preference,
    Record,
    Status,
    Suppression,
)
from schemas.vocabulary import Lane

HOUR_S = 3600
DAY_S = 24 * HOUR_S


class Cleanup(StrEnum):
    """Kafka's cleanup.policy."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be in the cluster.

    `key` names the fields of the record that are the Kafka key. Topics with `append_time` carry the broker's clock
    (LogAppendTime): the windows of dedup, deadlines and retry tiers count from it. All of the catalogue do: by a clock
    of ours that is wrong a broker would delete young records, or refuse those that are more than an hour ahead
    (message.timestamp.after.max.ms). `compacted_s` is the least and the
    greatest age at which a record that another of its key follows is compacted away. Where it `lingers`, nothing waits
    for its records but the commit: the engine sends them later, many at a time.
    """

    name: str
    key: str
    record: type[Record] | None
    retention_s: int | None = 7 * DAY_S
    cleanup: Cleanup = Cleanup.DELETE
    append_time: bool = False
    segment_s: int | None = None
    compacted_s: tuple[int, int] | None = None
    lingers: bool = False

    def settings(self) -> dict[str, str]:
        """The topic's configuration in Kafka's words."""
        wanted = {
            "cleanup.policy": self.cleanup.value,
            "retention.ms": "-1" if self.retention_s is None else str(self.retention_s * 1000),
            "message.timestamp.type": "LogAppendTime" if self.append_time else "CreateTime",
            "compression.type": "producer",
            "max.message.bytes": str(MAX_BATCH_BYTES),
        }
        if self.segment_s:
            wanted["segment.ms"] = str(self.segment_s * 1000)
        if self.compacted_s:
            least, greatest = self.compacted_s
            wanted["min.compaction.lag.ms"] = str(least * 1000)
            wanted["max.compaction.lag.ms"] = str(greatest * 1000)
        return wanted


RETRY_TIERS_S: dict[str, int] = {"1s": 1, "2s": 2, "4s": 4, "8s": 8, "30s": 30, "2m": 120, "15m": 900, "1h": 3600}
"""The waiting rooms of `retries.{lane}.{tier}`, in seconds, ascending."""


def notifications(lane: Lane) -> Topic:
    """What producers write."""
    return Topic(f"notifications.{lane}", "user_id", Notification, append_time=True)


def misplaced(lane: Lane) -> Topic:
    """Records that a producer put outside their user's partition, keyed again."""
    return Topic(f"misplaced.{lane}", "user_id", Notification, append_time=True)


def returns(lane: Lane) -> Topic:
    """What enters again: held, redriven or stale notifications. Written only by the engine."""
    return Topic(f"returns.{lane}", "user_id", Notification, append_time=True)


def deliveries(channel: str, lane: Lane) -> Topic:
    """A channel's work."""
    return Topic(f"{channel}_notifications.{lane}", "notification_id", Delivery, append_time=True)


def retries(lane: Lane, tier: str) -> Topic:
    """A waiting room: each record waits the tier's time from its append, then goes where its headers say."""
    return Topic(f"retries.{lane}.{tier}", "as at its destination", None, append_time=True)


STATUSES = Topic("statuses", "notification_id", Status, append_time=True, lingers=True)
PREFERENCES = Topic(
    "preferences",
    "tenant, user_id",
    Preference,
    retention_s=None,
    cleanup=Cleanup.COMPACT,
    append_time=True,
    compacted_s=(DAY_S, 7 * DAY_S),
)
"""What a producer wrote stays for a day at least: until the engine has written it again, under a key that no other
tenant's user has. What it wrote in plain text is gone after a week or so."""
SUPPRESSIONS = Topic("suppressions", "key", Suppression, retention_s=None, cleanup=Cleanup.COMPACT, append_time=True)
DEAD_LETTERS = Topic(
    "notification_dlq", "notification_id or position", DeadLetter, retention_s=30 * DAY_S, append_time=True
)
KEY_RING = Topic("key_ring", "index_key", KeyRegistration, retention_s=None, append_time=True)
"""A few records, all in partition 0, neither deleted nor compacted: the order of the whole log decides."""


def changelog(flow: str, table: str, retention_s: int) -> Topic:
    """A table's changelog. Entries that expire are deleted by age, in segments of an hour, not compacted."""
    name = f"carillon-{flow}-{table}-changelog"
    return Topic(name, "table key", None, retention_s=retention_s, append_time=True, segment_s=HOUR_S)


def catalogue() -> list[Topic]:
    """Every topic but the changelogs, which follow from the tables of each flow."""
    lanes: Iterable[Lane] = tuple(Lane)
    found = [make(lane) for lane in lanes for make in (notifications, misplaced, returns)]
    found += [deliveries(channel, lane) for channel in CHANNELS for lane in lanes]
    found += [retries(lane, tier) for lane in lanes for tier in RETRY_TIERS_S]
    return [*found, STATUSES, PREFERENCES, SUPPRESSIONS, DEAD_LETTERS, KEY_RING]
