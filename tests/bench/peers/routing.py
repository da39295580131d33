"""The routing that the peers in Python have in common: a record in, what it comes to out; no Kafka, no store.

Each peer brings its own reading, state and writing. `lean` routes and no more. `like` also does what Carillon writes:
a decision record for every input, sealed params, and an entry with the position of its record and the keyed digest
that tells a repeat from a conflict, so that its own replay goes out again. A conflict is not buried but dropped.
It does not check lane, partition, size, deadline or window, and holds nothing back for an unknown user.

Every peer is started with PREFIX VARIANT NOTIFICATIONS PREFERENCES: the prefix of its topics and group, `lean` or
`like`, and the two topics it reads. CARILLON_WORKER is its static member id, CARILLON_STATE its folder.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from agents.dedup import request_digest
from schemas.channels import CHANNELS
from schemas.keys import notification_id
from schemas.records import Delivery, Notification, Status, canonical, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import CLASSES, Lane, Reason, Step
from tables import dedup, preferences

Send = Callable[[str, bytes, bytes], None]
"""Takes a record: topic without its prefix, key, value."""

OUTPUTS = tuple(f"{channel}_notifications.high" for channel in CHANNELS)
STATUSES = "statuses"
KEEP_S = dedup.TABLE.keep_s
LINGER_MS = 5
PRODUCER = {
    "enable.idempotence": True,
    "linger.ms": LINGER_MS,
    "compression.type": "lz4",
    "batch.size": 128 * 1024,
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": 1_000_000,
}
MEMBER = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
"""What every peer with a group says of its membership, as Carillon's high lane does."""
GATHER = {"fetch.wait.max.ms": 10, "fetch.min.bytes": 1_000_000}
"""The broker gathers for 10 ms, as for Carillon's high lane: fewer fetches at a steady rate, for it and the peer."""

decode = msgspec.json.Decoder(Notification).decode
_OWNER_BYTES = 12
"""How many bytes of an entry say which record owns it: generation, source, partition, offset."""


class Place(NamedTuple):
    """Where an input record lies, and when it was appended (epoch ms)."""

    topic: str
    partition: int
    offset: int
    appended_ms: int


class Called(NamedTuple):
    """How a peer was called."""

    prefix: str
    variant: str
    notifications: str
    preferences: str
    brokers: str
    worker: str
    state: str


def called() -> Called:
    """The arguments and the environment of this process."""
    given = os.environ
    return Called(*sys.argv[1:5], given["CARILLON_KAFKA"], given["CARILLON_WORKER"], given["CARILLON_STATE"])


def say(event: str) -> None:
    """A line that the benchmark waits for."""
    line = json.dumps({"event": event, "at": datetime.now(UTC).isoformat()}) + "\n"
    os.write(1, line.encode())  # Faust puts a logger in the place of sys.stdout


def id_of(asked: Notification) -> bytes:
    """The key of a request's entry and of its outputs."""
    return notification_id(asked.tenant, Lane.HIGH, asked.user_id, asked.idempotency_key).encode()


class Router:
    """One process's routing."""

    def __init__(self, variant: str) -> None:
        self.like = variant != "lean"
        self.ring = KeyRing.from_text(os.environ["CARILLON_KEYS"], os.environ["CARILLON_INDEX_KEY"])

    def remember(self, record: bytes) -> bytes:
        """A preference record -> the entry of its user."""
        return preferences.pack(preferences.entry_of(preferences.read(record), self.ring))

    def route(
        self, place: Place, asked: Notification, id_: bytes, standing: bytes | None, user: bytes | None, send: Send
    ) -> bytes | None:
        """Send what a record comes to; returns the new entry of its request, None where it is a repeat."""
        now = int(time.time() * 1000)
        params = canonical(asked.params)
        digest = request_digest(asked, params, self.ring) if self.like else b"\0" * 8
        owner = (dedup.GENERATION, 0, place.partition, place.offset, place.appended_ms, digest)
        entry = dedup.pack(*owner, 0)
        if standing is not None and not (self.like and standing[:_OWNER_BYTES] == entry[:_OWNER_BYTES]):
            if self.like:
                self.tell(place, asked, id_, Step.DUPLICATE, Reason.SAME_REQUEST, now, send)
            return None
        reach = choose(asked, preferences.unpack(user)) if user else None
        if reach is None:
            if self.like:
                self.tell(place, asked, id_, Step.SUPPRESSED, Reason.OPTED_OUT, now, send)
            return entry
        if self.like:
            params = self.ring.seal(params, id_)
            self.tell(place, asked, id_, Step.ROUTED, Reason.NONE, now, send)
        delivery = Delivery(
            notification_id=id_.decode(),
            tenant=asked.tenant,
            user_id=asked.user_id,
            idempotency_key=asked.idempotency_key,
            channel=reach.channel,
            message_class=asked.message_class,
            category=asked.category,
            template_id=asked.template_id,
            address=reach.sealed,
            address_hash=reach.hash,
            params=params,
            deadline_ms=place.appended_ms + CLASSES[asked.message_class].deadline_s * 1000,
            due_ms=place.appended_ms,
            decided_at_ms=now,
            accepted_ms=place.appended_ms,
        )
        send(f"{reach.channel}_notifications.high", id_, encode(delivery))
        return dedup.decided(entry, CHANNELS[reach.channel].bit)

    def tell(
        self, place: Place, asked: Notification, id_: bytes, step: Step, reason: Reason, now: int, send: Send
    ) -> None:
        """The decision record of one input."""
        status = Status(
            notification_id=id_.decode(),
            tenant=asked.tenant,
            user_id=asked.user_id,
            step=step,
            at_ms=now,
            position=f"{place.topic}/{place.partition}/{place.offset}",
            accepted_ms=place.appended_ms,
            reason=reason,
            deliveries=1 if step is Step.ROUTED else 0,
        )
        send(STATUSES, id_, encode(status))


def choose(asked: Notification, user: preferences.Entry) -> preferences.Reach | None:
    """The first address that is asked for and not refused."""
    for reach in user.reaches:
        if asked.channels in ("best", reach.channel) and not user.refuses(reach.channel, asked.category):
            return reach
    return None
