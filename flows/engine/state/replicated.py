"""A replicated table: every partition of a small compacted topic, in one store, kept current by a thread.

Flows start behind its first full read. Its staleness is the time since Kafka last proved it current.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from flows.engine.kafka.consumers import logged
from flows.engine.state.proof import Proof
from flows.engine.state.restore import fold_over
from flows.engine.state.store import Store
from flows.engine.stop import die
from schemas.errors import CarillonError, TopicsDiffer
from schemas.sealing import KeyRing
from tables.table import Table

_FETCH = 2_000
_PROVE_S = 0.5
"""So long after an answer Kafka is asked again how far the topic goes."""
_ANSWER_S = 1.0
"""How long it may take to say so: longer than a fetch stands open, since both go by one connection."""
_FILTER_BITS = 1 << 24
"""2 MiB: of a million keys, one absent key in seventeen costs a read all the same."""


class KeyFilter:
    """Which keys may be there, a bit for each hash: most that are asked for never were, and need no read."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray(_FILTER_BITS // 8)

    def add(self, key: bytes) -> None:
        """From now on `key` may be there."""
        place = hash(key) % _FILTER_BITS
        self._bits[place >> 3] |= 1 << (place & 7)

    def may_hold(self, key: bytes) -> bool:
        """False only for a key that was never added."""
        place = hash(key) % _FILTER_BITS
        return bool(self._bits[place >> 3] >> (place & 7) & 1)


class Replicated:
    """A whole table in one process. A key that is there costs a RocksDB read; a stage cannot write to it."""

    def __init__(self, table: Table, folder: Path, brokers: str, ring: KeyRing) -> None:
        assert table.source is not None, "a replicated table is folded from a topic"
        assert table.fold is not None, "a replicated table is folded from a topic"
        self.table = table
        self._topic, self._fold, self._ring = table.source.name, table.fold, ring
        self._brokers = brokers
        self._store = Store(folder / "replicated" / table.name, None, time.time())
        self._filter = KeyFilter()
        self._whole = threading.Event()
        self._stopping = threading.Event()
        self._proof = Proof(())
        self._answered_at = time.monotonic()
        self._asked_at = 0.0
        self._thread = threading.Thread(target=self._follow, name=f"replicated-{table.name}", daemon=True)

    def start(self) -> None:
        """Begin to read; `whole` tells when everything has been read once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and close the store."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._store.close()

    def wait_whole(self, timeout_s: float) -> bool:
        """Wait until the topic was read to its end once. Blocks."""
        return self._whole.wait(timeout_s)

    def staleness_s(self) -> float:
        """Seconds since the moment up to which the table is known to be current."""
        current_at = self._proof.current_at
        return time.monotonic() - current_at if current_at is not None else float("inf")

    def silent_s(self) -> float:
        """Seconds since Kafka last said how far the topic goes."""
        return time.monotonic() - self._answered_at

    def load(self, keys: Iterable[bytes]) -> None:
        """Nothing to load: `get` reads the present state, which is what a check right before a call needs."""

    def get(self, key: bytes, /) -> bytes | None:
        """The entry under `key` now."""
        return self._store.get_many([key])[0] if self._filter.may_hold(key) else None

    def __setitem__(self, key: bytes, entry: bytes, /) -> None:
        raise TypeError(f"{self.table.name} is replicated: write a record to {self._topic} instead")

    def entries(self) -> int:
        """About how many entries it holds."""
        return self._store.entries()

    def _follow(self) -> None:
        try:
            self._read()
        except Exception as error:  # a table that nobody follows would stand still unseen
            die(f"the replicated table {self.table.name} cannot be read", error)

    def _read(self) -> None:
        consumer = Consumer(logged(self._brokers) | {"enable.partition.eof": True, "fetch.wait.max.ms": 500})
        found = consumer.list_topics(self._topic, timeout=30).topics.get(self._topic)
        if found is None or found.error is not None:
            raise TopicsDiffer(f"topic {self._topic} is missing: run `carillon topics apply`")
        self._proof = Proof(found.partitions)
        # A store that stands for several partitions keeps no offset: the topic is small, so it is read from its start.
        consumer.assign([TopicPartition(self._topic, number, 0) for number in found.partitions])
        while not self._stopping.is_set():
            first = consumer.poll(_PROVE_S)
            if first is not None:
                self._apply([first, *consumer.consume(_FETCH, 0)], len(found.partitions))
            if time.monotonic() - self._asked_at >= _PROVE_S:
                self._ask(consumer, list(found.partitions))
            if self._proof.current_at is not None:
                self._whole.set()
        consumer.close()

    def _apply(self, messages: list[Message], partitions: int) -> None:
        records: list[Message] = []
        reached: dict[int, int] = {}
        for message in messages:
            error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
            if error is None:
                reached[number] = offset + 1
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                reached[number] = offset
            elif not error.retriable():
                raise CarillonError(error.str())
        if records:
            changes, told = fold_over(self._fold, records, partitions, self._store, self._ring)
            # Of what changes nothing too: it may stand in the store since an earlier process.
            for key in told:
                self._filter.add(key)
            self._store.write(changes)
        for number, next_offset in reached.items():
            self._proof.read(number, next_offset)

    def _ask(self, consumer: Consumer, numbers: list[int]) -> None:
        """Ask how far the topic goes. To be asked for the time -1 is how Kafka is asked for a log's end."""
        self._asked_at = asked_at = time.monotonic()
        try:
            found = consumer.offsets_for_times([TopicPartition(self._topic, n, -1) for n in numbers], timeout=_ANSWER_S)
        except KafkaException:
            return
        if not any(place.error for place in found):
            self._answered_at = asked_at
            self._proof.ends(asked_at, {place.partition: place.offset for place in found})
