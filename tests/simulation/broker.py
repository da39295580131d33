"""A broker as far as the engine can tell: partitioned logs with append times and holes, and committed offsets."""

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from aiokafka.errors import OutOfOrderSequenceNumber

from flows.engine.kafka.fetched import Fetched
from schemas.keys import partition_of
from tests.simulation.clockwork import Clockwork, Life

Place = tuple[str, int]
"""Topic and partition."""
Written = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value, headers."""


class Log:
    """One partition. Some offsets hold no record, as behind a transaction or after compaction."""

    __slots__ = ("end", "offsets", "records")

    def __init__(self) -> None:
        self.records: list[Fetched] = []
        self.offsets: list[int] = []
        self.end = 0

    def read(self, offset: int, limit: int) -> list[Fetched]:
        """Up to `limit` records from `offset` on."""
        first = bisect_left(self.offsets, offset)
        return self.records[first : first + limit]

    @property
    def read_to(self) -> int:
        """The offset after the last record: what a group commits when it has worked everything."""
        return self.offsets[-1] + 1 if self.offsets else 0


class Broker:
    """All topics and what the groups have committed. Topics come into being when something is written."""

    def __init__(self, clockwork: Clockwork, partitions: int, hole: float) -> None:
        self.partitions = partitions
        self.logs: dict[Place, Log] = defaultdict(Log)
        self.committed: dict[str, dict[Place, int]] = defaultdict(dict)
        self.heard: list[Callable[[Fetched], None]] = []
        """Called with every record that is appended."""
        self.trespasses: list[str] = []
        """Records that a process wrote to a changelog that was given to another."""
        self._producers = itertools.count()
        self._taken: dict[tuple[Place, int], tuple[int, int, int]] = {}
        """The last batch of a producer in a partition: its sequence number, how many records, its offset."""
        self._owners: dict[tuple[str, int], Life] = {}
        self._clockwork, self._hole = clockwork, hole

    def place(self, topic: str, key: bytes | None, partition: int = -1) -> Place:
        """Where a record goes, as `murmur2_random` puts it."""
        if partition < 0 and key is not None:
            partition = partition_of(key, self.partitions)
        return topic, partition if partition >= 0 else self._clockwork.draw.randrange(self.partitions)

    def own(self, group: str, number: int, owner: Life) -> None:
        """A group has given a partition, and with it that of its changelogs, to a process."""
        self._owners[group, number] = owner

    def may_write(self, place: Place, writer: Life) -> None:
        """A process writes to a log now: if it is a changelog, it must be its own."""
        topic, number = place
        if topic.endswith("-changelog"):
            group = next(group for group, _ in self._owners if topic.startswith(f"{group}-"))
            owner = self._owners[group, number]
            if owner is not writer:
                self.trespasses.append(f"trespass: {writer.name} writes to {place}, which is {owner.name}'s")

    def new_producer(self) -> int:
        """An id that no other has."""
        return next(self._producers)

    def take(self, place: Place, producer: int, sequence: int, records: Sequence[Written]) -> tuple[int, int]:
        """Write a batch of an idempotent producer, once; returns Kafka's error code and the first record's offset."""
        last, count, offset = self._taken.get((place, producer), (sequence, 0, -1))
        if sequence == last and count:
            return 0, offset
        if sequence != last + count:
            return OutOfOrderSequenceNumber.errno, -1
        self._leave_hole(self.logs[place])
        offset = self.logs[place].end
        self._taken[place, producer] = sequence, len(records), offset
        for key, value, headers in records:
            self._write(place, key, value, headers)
        return 0, offset

    def append(self, place: Place, key: bytes | None, value: bytes | None) -> None:
        """Write a record."""
        self._leave_hole(self.logs[place])
        self._write(place, key, value, ())

    def _leave_hole(self, log: Log) -> None:
        if self._hole and log.offsets and self._clockwork.draw.random() < self._hole:
            log.end += self._clockwork.draw.choice((1, 1, 2))

    def _write(
        self, place: Place, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        log = self.logs[place]
        offset, log.end = log.end, log.end + 1
        record = Fetched(*place, offset, self._clockwork.now_ms(), key, value, tuple(headers))
        log.records.append(record)
        log.offsets.append(offset)
        for hear in self.heard:
            hear(record)

    def records(self, topic: str) -> Iterator[Fetched]:
        """Everything in a topic, each partition in its order."""
        for number in range(self.partitions):
            if (topic, number) in self.logs:
                yield from self.logs[topic, number].records
