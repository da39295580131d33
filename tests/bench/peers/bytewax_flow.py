"""A peer: routing on Bytewax.

It does: two Kafka inputs merged and keyed by user; one `stateful_flat_map` that holds a user's preference and dedup
entries, in which an event waits until its preference has been read; one Kafka output; a snapshot of what changed, and
of the input offsets, in SQLite every 5 s. Batches of 10,000, idempotent, acks=all, lz4, linger 5 ms. `lean` and `like`:
routing.py.
It does not: write a changelog (what is lost with the machine stays lost); use a consumer group; hear of a record that
could not be written (its sink has no delivery callback); expire entries; write to RocksDB (all state is in memory).
"""

from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from confluent_kafka import Consumer, TopicPartition
from routing import GATHER, PRODUCER, Place, Router, called, decode, id_of, say

BATCH = 10_000
EPOCH = timedelta(seconds=5)
CALL = called()
ROUTER = Router(CALL.variant)

Message = KafkaSourceMessage[bytes, bytes]


class Progress:
    """What is told of a process: that it works, and that it has read the preferences there were at its start."""

    def __init__(self) -> None:
        self.ready, self.left = False, 0

    def count(self) -> None:
        """See how many preferences there are."""
        consumer = Consumer({"bootstrap.servers": CALL.brokers, "group.id": f"{CALL.prefix}count"})
        partitions = consumer.list_topics(CALL.preferences, timeout=10).topics[CALL.preferences].partitions
        ends = (consumer.get_watermark_offsets(TopicPartition(CALL.preferences, number))[1] for number in partitions)
        self.left = sum(ends)
        consumer.close()

    def tell(self, preference: bool) -> None:
        """A record has been worked: before the first, what was kept is loaded again."""
        if not self.ready:
            self.ready = True
            say("ready")
        if preference:
            self.left -= 1
            if self.left == 0:
                say("learned")


PROGRESS = Progress()


class User:
    """One user's preference and dedup entries, and the events that came before the preference."""

    __slots__ = ("entries", "preference", "waiting")

    def __init__(self) -> None:
        self.preference: bytes | None = None
        self.entries: dict[bytes, bytes] = {}
        self.waiting: deque[Message] = deque()

    def __getstate__(self) -> tuple[Any, ...]:
        return self.preference, self.entries, self.waiting

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.preference, self.entries, self.waiting = state


def work(user: User | None, message: Message) -> tuple[User, list[KafkaSinkMessage[bytes, bytes]]]:
    """One record of either topic."""
    PROGRESS.tell(message.topic == CALL.preferences)
    user = user or User()
    found: list[KafkaSinkMessage[bytes, bytes]] = []
    if message.topic == CALL.preferences:
        user.preference = ROUTER.remember(message.value)
    else:
        user.waiting.append(message)

    def send(topic: str, key: bytes, value: bytes) -> None:
        found.append(KafkaSinkMessage(key, value, CALL.prefix + topic))

    while user.waiting and user.preference is not None:
        event = user.waiting.popleft()
        asked = decode(event.value)
        id_ = id_of(asked)
        place = Place(event.topic, event.partition, event.offset, event.timestamp[1])
        entry = ROUTER.route(place, asked, id_, user.entries.get(id_), user.preference, send)
        if entry is not None:
            user.entries[id_] = entry
    return user, found


def flow() -> Dataflow:
    """The dataflow."""
    made = Dataflow("route")
    users = op.input(
        "preferences", made, KafkaSource([CALL.brokers], [CALL.preferences], batch_size=BATCH, add_config=dict(GATHER))
    )
    events = op.input(
        "notifications",
        made,
        KafkaSource([CALL.brokers], [CALL.notifications], batch_size=BATCH, add_config=dict(GATHER)),
    )
    both = op.key_on("by_user", op.merge("merge", users, events), lambda message: message.key.decode())
    routed = op.key_rm("unkey", op.stateful_flat_map("work", both, work))
    op.output("outputs", routed, KafkaSink([CALL.brokers], None, add_config=PRODUCER))
    return made


if __name__ == "__main__":
    folder = Path(CALL.state)
    if not folder.exists():
        folder.mkdir(parents=True)
        init_db_dir(folder, 1)
    PROGRESS.count()
    cli_main(flow(), epoch_interval=EPOCH, recovery_config=RecoveryConfig(folder))
