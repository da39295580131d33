"""The topic of preferences on a real broker: what compaction leaves of it restores the table that was running."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from agents.remember import remember
from agents.stage import Outbox
from flows.cluster import Cluster
from flows.engine.state.restore import Log, restore
from flows.engine.state.store import Store
from schemas import topics
from schemas.keys import at, partition_of, user_key
from schemas.sealing import KeyRing
from tables.preferences import TABLE, Entry, unpack
from tables.table import DictEntries
from tests.agents.world import Record
from tests.flows.engine.conftest import eventually

RING = KeyRing({1: bytes(32)}, bytes(32))
PARTITIONS, PHONE, LIMIT_S = 2, "+4915112345678", 30.0
HOME = partition_of(b"anna", PARTITIONS)


def configure(
    brokers: str, kind: ResourceType, name: str, how: AlterConfigOpType = AlterConfigOpType.SET, **settings: str
) -> None:
    """Set, or take back, settings of a topic or of the broker."""
    admin = AdminClient({"bootstrap.servers": brokers})
    entries = [
        ConfigEntry(each.replace("_", "."), value, incremental_operation=how) for each, value in settings.items()
    ]
    for done in admin.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=entries)]).values():
        done.result(10)


@pytest.fixture
def brisk(kafka: str) -> Iterator[None]:
    """A broker that looks for something to compact several times a second."""
    configure(kafka, ResourceType.BROKER, "1", log_cleaner_backoff_ms="200")
    yield
    configure(kafka, ResourceType.BROKER, "1", AlterConfigOpType.DELETE, log_cleaner_backoff_ms="")


class Topic:
    """A topic like `preferences` that is compacted at once, and the lane that tells over it, its table in memory."""

    def __init__(self, brokers: str, folder: Path) -> None:
        self._brokers, self._folder = brokers, folder
        spec = replace(topics.PREFERENCES, name=f"preferences-{uuid.uuid4().hex[:8]}", compacted_s=(0, 1))
        self.name = spec.name
        Cluster(brokers, PARTITIONS, 1).apply([spec])
        at_once = {"segment_ms": "100", "min_cleanable_dirty_ratio": "0.01", "delete_retention_ms": "0"}
        configure(brokers, ResourceType.TOPIC, self.name, **at_once)
        self._producer = Producer({"bootstrap.servers": brokers})
        self.tables = {"preferences": DictEntries()}
        self._at = [0] * PARTITIONS

    def write(self, key: bytes | None, value: bytes | None, place: int) -> None:
        self._producer.produce(self.name, value, key, place)
        assert self._producer.flush(10) == 0

    def read(self) -> list[Message]:
        """All there is, partition by partition."""
        reader = Consumer({"bootstrap.servers": self._brokers, "group.id": "t", "enable.partition.eof": True})
        reader.assign([TopicPartition(self.name, number, 0) for number in range(PARTITIONS)])
        found: list[Message] = []
        ends = 0
        while ends < PARTITIONS:
            for message in reader.consume(1000, 0.05):
                ends += message.error() is not None
                found += [message] if message.error() is None else []
        reader.close()
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    def work(self) -> None:
        """Run the stage until nothing new comes of it."""
        while new := [m for m in self.read() if m.offset() >= self._at[m.partition()]]:
            for place in range(PARTITIONS):
                batch = [_record(message) for message in new if message.partition() == place]
                outbox = Outbox()
                stage = remember(RING, lambda: int(time.time() * 1000), PARTITIONS, tell=True)
                stage(batch, self.tables, outbox)
                self._at[place] = max([self._at[place], *(record.offset + 1 for record in batch)])
                for topic, key, value, partition, _ in outbox.records:
                    if topic == topics.PREFERENCES.name:
                        self.write(key, value, partition)

    def compact(self, done: Callable[[list[Message]], bool]) -> list[Message]:
        """Wait until compaction has left what `done` says. A segment is cleaned once another follows it."""

        def cleaned() -> bool:
            for place in range(PARTITIONS):
                self.write(b"new segment", None, place)
            return done(self.read())

        eventually(cleaned, LIMIT_S, "the topic, not compacted,")
        return self.read()

    def restored(self) -> dict[bytes, Entry]:
        """The table as a worker without local state restores it."""
        store = Store(self._folder / uuid.uuid4().hex, None, time.time())
        logs = [Log(self.name, place, store, TABLE.fold) for place in range(PARTITIONS)]
        assert restore(self._brokers, logs, RING, lambda left: None, lambda topic, count: None, lambda: False)
        keys = [at(place, user_key(tenant, "anna")) for place in range(PARTITIONS) for tenant in ("shop", "bank")]
        found = {key: unpack(entry) for key, entry in zip(keys, store.get_many(keys), strict=True) if entry}
        store.close()
        return found


def _record(message: Message) -> Record:
    place, offset, at_ms = message.partition() or 0, message.offset() or 0, message.timestamp()[1]
    return Record(message.topic() or "", place, offset, at_ms, message.key(), message.value())


def plain(version: int, tenant: str, category: str) -> bytes:
    told = {"addresses": [{"channel": "sms", "address": PHONE}], "opt_outs": [{"category": category}]}
    return msgspec.json.encode({"tenant": tenant, "user_id": "anna", "version": version, **told})


@pytest.mark.usefixtures("brisk")
def test_two_tenants_with_one_user_id_a_late_version_and_a_misplaced_one_survive_compaction_without_a_plain_address(
    kafka: str, tmp_path: Path
) -> None:
    topic = Topic(kafka, tmp_path)
    topic.write(b"anna", plain(2, "shop", "two"), HOME)
    topic.write(b"anna", plain(1, "bank", "one"), HOME)
    topic.work()
    topic.write(b"anna", plain(3, "bank", "three"), 1 - HOME)
    topic.write(user_key("shop", "anna"), plain(1, "shop", "one"), HOME)
    topic.work()
    kept = topic.compact(lambda left: len([message for message in left if message.value() is not None]) == 2)
    values = [message.value() for message in kept if message.value() is not None]
    assert {message.partition() for message in kept if message.value() is not None} == {HOME}
    assert not [value for value in values if PHONE.encode() in (value or b"")]
    restored, running = topic.restored(), topic.tables["preferences"]
    assert {key: (entry.version, entry.opted_out) for key, entry in restored.items()} == {
        at(HOME, user_key("shop", "anna")): (2, ["*/two"]),
        at(HOME, user_key("bank", "anna")): (3, ["*/three"]),
    }
    assert {key: unpack(entry) for key, entry in running.items()} == restored
