"""A peer: routing as a plain confluent-kafka loop, the least a Python process can do. `python plain_loop.py lean|like`.

It does: consume(1000) in one thread over all partitions; the same decoding into the same records; dedup in RocksDB by
notification id, each entry with its offset and time; the preference join in RocksDB; the fan-out to three channel
topics; a changelog of the dedup entries; flush and commit every 20,000 events or 2 s. Idempotent, acks=all, lz4.
`like` also does what Carillon writes and `lean` leaves out: a decision record for every input, sealed params, and the
keyed digest that tells a repeat from a conflict.
It does not: check lane, partition, size, deadline or window; bury a bad record; follow changes of preferences (they
are read once, before it says ready); survive a rebalance; hold a commit for what is not acknowledged record by record;
expire entries; serve metrics. A crash between store and commit makes it drop replays.
"""

import json
import os
import sys
import time
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition
from measure import say
from rig import PARTITIONS, producer
from rocksdict import BlockBasedOptions, Options, Rdict, WriteBatch

from agents.dedup import request_digest
from schemas.channels import CHANNELS
from schemas.keys import notification_id, user_key
from schemas.records import Delivery, Notification, Status, canonical, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import CLASSES, Lane, Step
from tables import dedup, preferences

_decode = msgspec.json.Decoder(Notification).decode


def _store(folder: Path) -> Rdict:
    options, blocks = Options(raw_mode=True), BlockBasedOptions()
    options.create_if_missing(True)
    options.set_write_buffer_size(64 * 1024 * 1024)
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return Rdict(str(folder), options)


def _many(store: Rdict, keys: list[bytes]) -> list[bytes | None]:
    found: list[bytes | None] = store[keys]  # type: ignore[index, assignment]
    return found


class Loop:
    """The whole peer."""

    def __init__(self, variant: str) -> None:
        self.like, self.prefix, brokers = variant != "lean", f"plain.{variant}.", os.environ["CARILLON_KAFKA"]
        self.ring = KeyRing.from_text(os.environ["CARILLON_KEYS"], os.environ["CARILLON_INDEX_KEY"])
        folder = Path(os.environ["CARILLON_STATE"])
        folder.mkdir(parents=True)
        self.seen, self.users = _store(folder / "dedup"), _store(folder / "preferences")
        self.write = producer(brokers, linger_ms=5.0)
        self.settings = {"bootstrap.servers": brokers, "enable.auto.commit": False, "auto.offset.reset": "earliest"}

    def remember(self) -> None:
        """Read all preferences into RocksDB."""
        consumer = Consumer(self.settings | {"group.id": "plain-preferences"})
        places = [TopicPartition("preferences", number, 0) for number in range(PARTITIONS)]
        left = sum(consumer.get_watermark_offsets(place)[1] for place in places)
        consumer.assign(places)
        while left:
            batch = WriteBatch(raw_mode=True)
            for message in consumer.consume(5000, 0.1):
                preference = preferences.read(message.value() or b"")
                key = user_key(preference.tenant, preference.user_id)
                batch.put(key, preferences.pack(preferences.entry_of(preference, self.ring)))
                left -= 1
            self.users.write(batch)
        consumer.close()

    def run(self) -> None:
        """Route for ever."""
        consumer = Consumer(self.settings | {"group.id": f"{self.prefix}route", "fetch.wait.max.ms": 5})
        consumer.subscribe(["notifications.high"])
        since, uncommitted = time.monotonic(), 0
        while True:
            messages = consumer.consume(1000, 0.2)
            if messages:
                self.route(messages)
                self.write.poll(0)
                uncommitted += len(messages)
            if uncommitted and (uncommitted >= 20_000 or time.monotonic() - since > 2):
                self.write.flush()
                consumer.commit(asynchronous=False)
                since, uncommitted = time.monotonic(), 0

    def route(self, messages: list[Message]) -> None:
        """One batch: decode, dedup, join, fan out, changelog."""
        asked = [_decode(message.value() or b"") for message in messages]
        ids = [notification_id(a.tenant, Lane.HIGH, a.user_id, a.idempotency_key).encode() for a in asked]
        entries = _many(self.seen, ids)
        known = _many(self.users, [user_key(a.tenant, a.user_id) for a in asked])
        fresh: dict[bytes, bytes] = {}
        batch = WriteBatch(raw_mode=True)
        now = int(time.time() * 1000)
        for message, a, id_, entry, user in zip(messages, asked, ids, entries, known, strict=True):
            if entry is not None or id_ in fresh:
                if self.like:
                    self.tell(message, a, id_, Step.DUPLICATE, now, 0)
                continue
            params = canonical(a.params)
            digest = request_digest(a, params, self.ring) if self.like else b"\0" * 8
            bits = self.fan_out(message, a, id_, params, preferences.unpack(user or b""), now)
            owner = (1, 0, message.partition() or 0, message.offset(), message.timestamp()[1], digest, bits)
            fresh[id_] = dedup.pack(*owner)
            batch.put(id_, fresh[id_])
            self.send(f"{self.prefix}changelog", id_, fresh[id_], message.partition() or 0)
        self.seen.write(batch)

    def fan_out(
        self, message: Message, a: Notification, id_: bytes, params: bytes, user: preferences.Entry, now: int
    ) -> int:
        """The deliveries of one event; returns the bits of their channels."""
        appended, wanted, bits = message.timestamp()[1], a.channels, 0
        if self.like:
            params = self.ring.seal(params, id_)
        for reach in user.reaches:
            if wanted not in ("best", reach.channel) or user.refuses(reach.channel, a.category):
                continue
            delivery = Delivery(
                notification_id=id_.decode(),
                tenant=a.tenant,
                user_id=a.user_id,
                idempotency_key=a.idempotency_key,
                channel=reach.channel,
                message_class=a.message_class,
                category=a.category,
                template_id=a.template_id,
                address=reach.sealed,
                address_hash=reach.hash,
                params=params,
                deadline_ms=appended + CLASSES[a.message_class].deadline_s * 1000,
                due_ms=appended,
                decided_at_ms=now,
                accepted_ms=appended,
            )
            self.send(f"{self.prefix}{reach.channel}_notifications.high", id_, encode(delivery))
            bits |= CHANNELS[reach.channel].bit
            break
        if self.like:
            self.tell(message, a, id_, Step.ROUTED if bits else Step.SUPPRESSED, now, 1 if bits else 0)
        return bits

    def tell(self, message: Message, a: Notification, id_: bytes, step: Step, now: int, deliveries: int) -> None:
        """The decision record of one input."""
        status = Status(
            notification_id=id_.decode(),
            tenant=a.tenant,
            user_id=a.user_id,
            step=step,
            at_ms=now,
            position=f"{message.topic()}/{message.partition()}/{message.offset()}",
            accepted_ms=message.timestamp()[1],
            deliveries=deliveries,
        )
        self.send(f"{self.prefix}statuses", id_, encode(status))

    def send(self, topic: str, key: bytes, value: bytes, partition: int = -1) -> None:
        """Produce, waiting for room."""
        while True:
            try:
                return self.write.produce(topic, value, key, partition)
            except BufferError:
                self.write.poll(0.05)


if __name__ == "__main__":
    loop = Loop(sys.argv[1])
    loop.remember()
    say(json.dumps({"event": "ready", "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}))
    loop.run()
