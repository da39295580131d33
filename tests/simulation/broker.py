"""A broker as far as the engine can tell: partitioned logs with append times and holes, and committed offsets."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from flows.engine.fetched import Fetched
from schemas.keys import partition_of
from tests.simulation.clockwork import Clockwork, Life

Place = tuple[str, int]
"""Topic and partition."""


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

    def append(
        self, place: Place, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None
    ) -> int:
        """Write a record; returns its offset."""
        log = self.logs[place]
        if self._hole and log.offsets and self._clockwork.draw.random() < self._hole:
            log.end += self._clockwork.draw.choice((1, 1, 2))
        offset, log.end = log.end, log.end + 1
        record = Fetched(*place, offset, self._clockwork.now_ms(), key, value, tuple(headers or ()))
        log.records.append(record)
        log.offsets.append(offset)
        for hear in self.heard:
            hear(record)
        return offset

    def records(self, topic: str) -> Iterator[Fetched]:
        """Everything in a topic, each partition in its order."""
        for number in range(self.partitions):
            if (topic, number) in self.logs:
                yield from self.logs[topic, number].records
