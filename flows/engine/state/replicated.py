"""A replicated table: every partition of a small compacted topic, in one store, kept current by a thread.

Flows start behind its first full read. Its staleness is the time since it was last seen to have read everything.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from flows.engine.kafka.consumers import ungrouped
from flows.engine.state.restore import fold_over
from flows.engine.state.store import Store
from flows.engine.stop import die
from schemas.errors import CarillonError, TopicsDiffer
from schemas.sealing import KeyRing
from tables.table import Table

_FETCH = 2_000
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
        self._current_at = 0.0
        self._connected = True
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
        """Seconds since the table was last known to be current."""
        return time.monotonic() - self._current_at if self._current_at else float("inf")

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
        except (CarillonError, KafkaException, OSError, RuntimeError) as error:
            die(f"the replicated table {self.table.name} cannot be read", error)

    def _read(self) -> None:
        settings = {"enable.partition.eof": True, "fetch.wait.max.ms": 500, "error_cb": self._cut_off}
        consumer = Consumer(ungrouped(self._brokers) | settings)
        found = consumer.list_topics(self._topic, timeout=30).topics.get(self._topic)
        if found is None or found.error is not None:
            raise TopicsDiffer(f"topic {self._topic} is missing: run `carillon topics apply`")
        # A store that stands for several partitions keeps no offset: the topic is small, so it is read from its start.
        consumer.assign([TopicPartition(self._topic, number, 0) for number in found.partitions])
        behind = set(found.partitions)
        while not self._stopping.is_set():
            first = consumer.poll(0.5)
            if first is not None:
                self._apply([first, *consumer.consume(_FETCH, 0)], behind, len(found.partitions))
            if not self._connected:
                self._connected = self._answers(consumer)
            elif not behind:
                self._current_at = time.monotonic()
                self._whole.set()
        consumer.close()

    def _apply(self, messages: list[Message], behind: set[int], partitions: int) -> None:
        records: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                behind.add(message.partition() or 0)
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                behind.discard(message.partition() or 0)
            elif not error.retriable():
                raise CarillonError(error.str())
        if records:
            changes, told = fold_over(self._fold, records, partitions, self._store, self._ring)
            # Of what changes nothing too: it may stand in the store since an earlier process.
            for key in told:
                self._filter.add(key)
            self._store.write(changes)

    def _cut_off(self, error: KafkaError) -> None:
        self._connected = False

    def _answers(self, consumer: Consumer) -> bool:
        try:
            consumer.list_topics(self._topic, timeout=1)
        except KafkaException:
            return False
        return True
