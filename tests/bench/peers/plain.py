"""A peer: routing as a plain confluent-kafka loop, the least a Python process can do.

It does: consume(1000) in one thread over all partitions; dedup and the preference join in RocksDB, one multi-get each
and one batch written; the fan-out; a changelog of the dedup entries in the input's partition; flush and commit every
20,000 events or second. Idempotent, acks=all, lz4, linger 5 ms; a static member. At its start it reads all preferences
and the whole changelog, whatever state it had. `lean` and `like`: routing.py.
It does not: follow changes of preferences; survive a rebalance; hold a commit for what is not acknowledged record by
record; expire entries; serve metrics. After a crash `lean` drops what its changelog has and its outputs do not.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from rocksdict import BlockBasedOptions, Options, Rdict, WriteBatch
from routing import GATHER, MEMBER, PRODUCER, Place, Router, called, decode, id_of, say

COMMIT_EVENTS, COMMIT_S = 20_000, 1.0
GATHER_S = 0.01
"""How long a batch may take to fill, which is as long as the broker gathers."""


def store(folder: Path) -> Rdict:
    """An empty RocksDB."""
    options, blocks = Options(raw_mode=True), BlockBasedOptions()
    options.create_if_missing(True)
    options.set_write_buffer_size(64 * 1024 * 1024)
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return Rdict(str(folder), options)


class Loop:
    """The whole peer."""

    def __init__(self) -> None:
        self.called = call = called()
        self.router = Router(call.variant)
        folder = Path(call.state)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.seen, self.users = store(folder / "dedup"), store(folder / "preferences")
        self.writer = Producer({"bootstrap.servers": call.brokers} | PRODUCER)
        self.settings = {
            "bootstrap.servers": call.brokers,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }

    def restore(self, topic: str, into: Rdict, entry: Callable[[bytes], bytes]) -> None:
        """Read all of a topic into a store, by its records' keys."""
        consumer = Consumer(self.settings | {"group.id": f"{self.called.prefix}restore"})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number, 0) for number in partitions]
        left = sum(consumer.get_watermark_offsets(place)[1] for place in places)
        consumer.assign(places)
        while left:
            batch = WriteBatch(raw_mode=True)
            for message in consumer.consume(5000, 0.1):
                batch.put(message.key(), entry(message.value()))
                left -= 1
            into.write(batch)
        consumer.close()

    def run(self) -> None:
        """Route for ever."""
        self.restore(self.called.preferences, self.users, self.router.remember)
        self.restore(f"{self.called.prefix}changelog", self.seen, bytes)
        group = {"group.id": f"{self.called.prefix}route", "group.instance.id": self.called.worker}
        consumer = Consumer(self.settings | group | GATHER | MEMBER)
        consumer.subscribe([self.called.notifications])
        say("ready")
        since, uncommitted = time.monotonic(), 0
        while True:
            messages = consumer.consume(1000, GATHER_S)
            if messages:
                self.route(messages)
                self.writer.poll(0)
                uncommitted += len(messages)
            if uncommitted and (uncommitted >= COMMIT_EVENTS or time.monotonic() - since > COMMIT_S):
                self.writer.flush()
                consumer.commit(asynchronous=False)
                since, uncommitted = time.monotonic(), 0

    def route(self, messages: list[Message]) -> None:
        """One batch: decode, dedup, join, fan out, changelog."""
        asked = [decode(message.value() or b"") for message in messages]
        ids = [id_of(a) for a in asked]
        entries = self.seen[ids]
        known = self.users[[message.key() for message in messages]]
        fresh: dict[bytes, bytes] = {}
        batch = WriteBatch(raw_mode=True)
        for message, a, id_, entry, user in zip(messages, asked, ids, entries, known, strict=True):
            partition = message.partition()
            place = Place(message.topic(), partition, message.offset(), message.timestamp()[1])
            new = self.router.route(place, a, id_, entry or fresh.get(id_), user, self.send)
            if new is not None:
                fresh[id_] = new
                batch.put(id_, new)
                self.send("changelog", id_, new, partition)
        self.seen.write(batch)

    def send(self, topic: str, key: bytes, value: bytes, partition: int = -1) -> None:
        """Produce, waiting for room."""
        while True:
            try:
                return self.writer.produce(self.called.prefix + topic, value, key, partition)
            except BufferError:
                self.writer.poll(0.05)


if __name__ == "__main__":
    Loop().run()
