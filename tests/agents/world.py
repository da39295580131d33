"""A small world for the stages: records, a clock, a key ring, tables that are dicts; what was written is read back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agents.admit import admit
from agents.attempt import Outcome, Work, key_of
from agents.dedup import dedup
from agents.deliver import Deliver
from agents.enrich import enrich
from agents.provider import Kind, Result, discover
from agents.render import Template
from agents.route import route
from agents.settle import settle
from agents.stage import Input, Later, Outbox
from flows.engine.flow import chain
from flows.engine.kafka.fetched import Fetched as Record
from schemas import topics
from schemas.keys import at as table_key
from schemas.keys import notification_id, partition_of, user_key
from schemas.records import Delivery, Preference, canonical, encode
from schemas.sealing import KeyRing
from schemas.topics import Topic
from schemas.vocabulary import Lane, MessageClass, Reason
from tables import attempts, preferences
from tables.attempts import Attempt
from tables.table import DictEntries

NOW = 1_800_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
PARTITIONS = 8
HOME = partition_of(b"anna", PARTITIONS)
RING = KeyRing({1: bytes(range(32))}, bytes(32))
PHONE, MAILBOX, DEVICE = "+4915112345678", "anna@example.org", "device-token-0001"
TWILIO = discover({f"CARILLON_TWILIO_{name}": "x1" for name in ("ACCOUNT", "KEY", "SECRET", "FROM")})["sms"]
ADDRESSES = {"sms": PHONE, "email": MAILBOX, "push": DEVICE}
OTP, BILLING, MARKETING = MessageClass.OTP, MessageClass.BILLING, MessageClass.MARKETING


@dataclass
class Clock:
    """Time as an argument."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    """Tables and a clock that outlive a batch."""

    clock: Clock = field(default_factory=Clock)
    tables: dict[str, DictEntries] = field(
        default_factory=lambda: {
            n: DictEntries() for n in ("dedup", "preferences", "attempts", "suppressions", "progress")
        }
    )
    lane: Lane = Lane.HIGH

    def knows(self, user: str = "anna", tenant: str = "shop", **told: Any) -> "World":
        """Give a user a preference; by default a verified address on every channel."""
        told = {"addresses": [{"channel": name, "address": where} for name, where in ADDRESSES.items()], **told}
        asked = msgspec.convert({"tenant": tenant, "user_id": user, "version": 1, **told}, Preference)
        entry = preferences.pack(preferences.entry_of(asked, RING))
        self.tables["preferences"][preference_key(user, tenant)] = entry
        return self

    def route(self, *batch: Input) -> Outbox:
        """Run the whole path of route over a batch."""
        outbox = Outbox()
        lane, clock = self.lane, self.clock
        agents = (admit(lane, RING, PARTITIONS, clock), *(make(lane, RING, clock) for make in (dedup, enrich, route)))
        chain(*agents)(batch, self.tables, outbox)
        return outbox


def request(**changes: Any) -> dict[str, Any]:
    """A valid notification, as a producer writes it."""
    return {
        "tenant": "shop",
        "idempotency_key": "order-1",
        "user_id": "anna",
        "channels": "sms",
        "category": "orders",
        "class": "transactional",
        "template_id": "order",
        "params": {"number": "4711"},
        **changes,
    }


def asked(
    offset: int = 0,
    *,
    topic: Topic | None = None,
    at: int = NOW,
    headers: Sequence[tuple[str, bytes | None]] = (),
    **changes: Any,
) -> Record:
    """A valid notification in its user's partition; sealed where only the engine writes."""
    body, name = request(**changes), (topic or topics.notifications(Lane.HIGH)).name
    if name in {of(Lane.HIGH).name for of in (topics.returns, topics.misplaced)}:
        id_ = notification_id(body["tenant"], Lane.HIGH, body["user_id"], body["idempotency_key"])
        body["sealed_params"] = RING.seal(canonical(body.pop("params")), id_.encode())
    user = str(body["user_id"]).encode()
    return Record(name, partition_of(user, PARTITIONS), offset, at, user, msgspec.json.encode(body), headers)


def raw(value: bytes | None, offset: int = 0, key: bytes | None = b"anna") -> Record:
    """Anything at all on the input topic."""
    return Record(topics.notifications(Lane.HIGH).name, HOME, offset, NOW, key, value)


def id_of(key: str = "order-1", user: str = "anna", lane: Lane = Lane.HIGH) -> str:
    """The id of a notification of this world."""
    return notification_id("shop", lane, user, key)


def preference_key(user: str = "anna", tenant: str = "shop") -> bytes:
    """The table key of a user's preference, in the user's partition."""
    return table_key(partition_of(user.encode(), PARTITIONS), user_key(tenant, user))


def a_delivery(channel: str = "sms", params: dict[str, Any] | None = None, **changes: Any) -> Delivery:
    """A delivery as route writes it."""
    id_ = changes.get("notification_id", id_of())
    fields: dict[str, Any] = {
        "notification_id": id_,
        "tenant": "shop",
        "user_id": "anna",
        "idempotency_key": "order-1",
        "channel": channel,
        "message_class": MessageClass.TRANSACTIONAL,
        "category": "orders",
        "template_id": "order",
        "address": RING.seal(ADDRESSES[channel].encode(), preferences.context("shop", "anna")),
        "address_hash": RING.address_hash("shop", ADDRESSES[channel]),
        "params": RING.seal(msgspec.json.encode(params or {"number": "4711"}), id_.encode()),
        "deadline_ms": NOW + DAY,
        "due_ms": NOW,
        "decided_at_ms": NOW,
        "accepted_ms": NOW,
    }
    return Delivery(**fields | changes)


def delivered(delivery: Delivery, offset: int = 0, lane: Lane = Lane.HIGH, partition: int = 0) -> Record:
    """A delivery as it lies on its channel's topic."""
    topic = topics.deliveries(delivery.channel, lane).name
    return Record(topic, partition, offset, NOW, delivery.notification_id.encode(), encode(delivery))


def written(outbox: Outbox, topic: Topic) -> list[dict[str, Any]]:
    """The records written to a topic, from their JSON."""
    return [msgspec.json.decode(value or b"null") for name, _, value, _, _ in outbox.records if name == topic.name]


def steps(outbox: Outbox) -> list[tuple[str, str]]:
    """(step, reason) of every status, in order."""
    return [(status["step"], status.get("reason", "")) for status in written(outbox, topics.STATUSES)]


def deliveries(outbox: Outbox, lane: Lane = Lane.HIGH) -> list[Delivery]:
    """Every delivery written, in order."""
    names = {topics.deliveries(channel, lane).name for channel in ADDRESSES}
    return [
        msgspec.json.decode(value or b"", type=Delivery) for name, _, value, _, _ in outbox.records if name in names
    ]


def waiting(outbox: Outbox) -> list[tuple[str, str, int, dict[str, Any]]]:
    """(room, destination, due ms, record) of everything that waits."""
    found = []
    for name, _, value, _, headers in outbox.records:
        if name.startswith("retries."):
            way = dict(headers or ())
            found.append(
                (name.rpartition(".")[2], way["to"].decode(), int(way["due"]), msgspec.json.decode(value or b""))
            )
    return found


TEXT = {"sms": {"body": "Order {{number}}"}, "email": {"subject": "Order", "body": "Order {{number}}"}}
TEMPLATE = Template.read(msgspec.json.encode({"version": 1, "channels": TEXT}))


@dataclass
class Delivering:
    """The delivery of one channel on one lane, with everything around it in memory."""

    world: World = field(default_factory=World)
    lane: Lane = Lane.HIGH
    shelf: dict[str, Template | Reason | None] = field(default_factory=lambda: {"order": TEMPLATE})
    draw: float = 0.0
    ring: KeyRing = RING

    def peek(self, template_id: str, version: int | None) -> Template | Reason | None:
        """The shelf is the cache of templates."""
        return self.shelf.get(template_id, Reason.NO_TEMPLATE)

    def run(self, *batch: Input) -> tuple[Later | None, Outbox]:
        """Run the stage over deliveries."""
        outbox = Outbox()
        work = Deliver(self.lane, TWILIO, self, self.ring, self.world.clock)
        return work.stage(batch, self.world.tables, outbox), outbox

    def announce(self, delivery: Delivery, offset: int = 0) -> Work:
        """Run one delivery that goes, and return its call."""
        later, outbox = self.run(delivered(delivery, offset, self.lane))
        assert later is None
        (work,) = outbox.calls
        assert isinstance(work, Work)
        return work

    def settle(self, *outcomes: Outcome) -> Outbox:
        """Run the stage over outcomes."""
        outbox = Outbox()
        settle(self.lane, self.world.clock, lambda: self.draw)(outcomes, self.world.tables, outbox)
        return outbox

    def attempt(self, delivery: Delivery, result: Result, offset: int = 0) -> Outbox:
        """One delivery, its call, and what followed."""
        return self.settle(Outcome(self.announce(delivery, offset), result, self.world.clock()))

    def latest(self, delivery: Delivery, partition: int = 0) -> Attempt:
        """What the table knows of a delivery whose record lies in `partition`."""
        return attempts.unpack(self.world.tables["attempts"][key_of(delivery, partition)])


def ruled(kind: Kind, reason: str = "because", **more: Any) -> Result:
    """What a provider's answer was read as."""
    return Result(kind, "twilio", reason, **more)


SENT = ruled(Kind.ACCEPTED, "accepted", message_id="SM1")
