"""The four ledgers of a drained run, each written by another process, as plain rows.

    A  accepted   the load client: what it sent, and what the broker acknowledged
    C  calls      the sandbox: what providers read
    T  told       the statuses topic: what the engine says it decided and did
    D  rows       DynamoDB: what a user of the store sees

Beside them what lies on the topics between the stages, for the sums of each stage.
"""

import hmac
import json
import os
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accepted import Entry
from harness import Rig

from flows.clients import Rows

LANES = ("high", "low")
CHANNELS = ("push", "sms", "email")
INPUTS = tuple(f"{name}.{lane}" for lane in LANES for name in ("notifications", "returns"))
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message request that a provider read to its end, at `at`; its answer left `delay` seconds later."""

    at: float
    ref: str
    id: str
    channel: str
    to_hash: str
    body_hash: str
    answer: str
    delay: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A status. Without a `channel` it is a decision."""

    id: str
    user_id: str
    step: str
    reason: str
    at_ms: int
    accepted_ms: int
    place: Place
    round: int
    channel: str
    address_hash: str
    deliveries: int
    attempt: int
    provider: str
    message_id: str
    flagged: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery as it lies on its channel's topic."""

    place: Place
    id: str
    channel: str
    address_hash: str
    attempt: int


@dataclass(slots=True)
class Ledgers:
    """Everything an audit looks at. `ends` are the log ends of the input topics."""

    accepted: list[Entry] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: dict[tuple[str, str], tuple[bool, int]] = field(default_factory=dict)
    """Of the store's preferences: user and channel -> whether it is enabled, and the version that says so."""
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    buried: set[tuple[str, str]] = field(default_factory=set)
    """Notification and channel of every dead letter that has them."""
    letters: set[str] = field(default_factory=set)
    """The position of every dead letter."""


def read(rig: Rig, accepted: Path, *, store: bool = True) -> Ledgers:
    """All of a run. Without `store` its rows are left out."""
    letters = [json.loads(message.value()) for message in rig.read("notification_dlq")]
    return Ledgers(
        accepted=list(entries(rig, accepted)),
        calls=[_call(row) for row in rig.ledger()],
        told=told(rig),
        rows={row["notification_id"]: row for row in _scan(rig, "logs")} if store else {},
        channels={
            (row["user_id"], row["channel_type"]): (row["is_enabled"], row["version"])
            for row in (_scan(rig, "preferences") if store else ())
        },
        ends=rig.ends(INPUTS),
        waiting=[found for channel in CHANNELS for lane in LANES for found in waiting(rig, channel, lane)],
        buried={(letter["notification_id"], letter["channel"]) for letter in letters if "channel" in letter},
        letters={letter["position"] for letter in letters},
    )


def entries(rig: Rig, accepted: Path) -> Iterator[Entry]:
    """The load client's rows. One whose fate it never learned is looked for on its topic: there it is ok."""
    with accepted.open() as lines:
        found = [Entry.read(line) for line in lines]
    unknown: dict[tuple[str, str, bytes | None], list[Entry]] = {}
    for entry in found:
        if entry.result == "info":
            unknown.setdefault((entry.topic, entry.key, entry.value), []).append(entry)
        else:
            yield entry
    known = {(entry.topic, entry.partition, entry.offset) for entry in found if entry.result == "ok"}
    for topic in sorted({topic for topic, _, _ in unknown}):
        for message in rig.read(topic):
            place = (topic, message.partition(), message.offset())
            same = unknown.get((topic, (message.key() or b"").decode(errors="replace"), message.value()))
            if same and place not in known:
                yield _found(same.pop(0), place, message.timestamp()[1] / 1000)
    yield from (entry for left in unknown.values() for entry in left)


def _found(entry: Entry, place: Place, appended: float) -> Entry:
    topic, partition, offset = place
    return Entry(
        entry.kind,
        entry.number,
        entry.t_due,
        entry.t_acked,
        "ok",
        topic,
        partition,
        offset,
        appended,
        entry.key,
        entry.value,
    )


def hash_of(tenant: str, address: str) -> str:
    """The name under which our records know an address: HMAC-SHA256 by the index key of the run, 16 bytes in hex."""
    key = b64decode(os.environ["CARILLON_INDEX_KEY"])
    return hmac.digest(key, f"{tenant}\x1f{address}".encode(), "sha256")[:16].hex()


def _call(row: dict[str, Any]) -> Call:
    parts = (row["ref"] or "").split(".")
    id_, channel = (parts[0], parts[1]) if len(parts) == 4 else ("", row["channel"])
    body, to = row["body_hash"] or "", row["to_hash"] or ""
    return Call(row["t"], row["ref"] or "", id_, channel, to, body, row["answer"], row["delay"], row["accepted"])


def _told(status: dict[str, Any]) -> Told:
    return Told(
        id=status["notification_id"],
        user_id=status["user_id"],
        step=status["step"],
        reason=status.get("reason", ""),
        at_ms=status["at_ms"],
        accepted_ms=status.get("accepted_ms", 0),
        place=place_of(status["position"]),
        round=status.get("round", 1),
        channel=status.get("channel", ""),
        address_hash=status.get("address_hash") or "",
        deliveries=status.get("deliveries", 0),
        attempt=status.get("attempt", 0),
        provider=status.get("provider", ""),
        message_id=status.get("provider_message_id", ""),
        flagged=status.get("possible_duplicate", False),
    )


def place_of(position: str) -> Place:
    """topic/partition/offset, taken apart."""
    topic, partition, offset = position.split("/")
    return topic, int(partition), int(offset)


def told(rig: Rig) -> list[Told]:
    """Every status."""
    return [_told(json.loads(message.value())) for message in rig.read("statuses")]


def waiting(rig: Rig, channel: str, lane: str) -> Iterator[Waiting]:
    """Every delivery that lies on a channel's topic."""
    topic = f"{channel}_notifications.{lane}"
    for message in rig.read(topic):
        record = json.loads(message.value())
        place = (topic, message.partition(), message.offset())
        yield Waiting(place, record["notification_id"], channel, record["address_hash"], record.get("attempt", 1))


def _scan(rig: Rig, table: str) -> Iterator[dict[str, Any]]:
    """The rows of NotificationLogs (`logs`) or UserPreferences (`preferences`), out of DynamoDB's types."""
    rows = Rows(rig.settings)
    for item in rows.scan(getattr(rows, table)):
        yield {name: _plain(value) for name, value in item.items()}


def _plain(value: dict[str, Any]) -> object:
    ((kind, found),) = value.items()
    return int(found) if kind == "N" else found
