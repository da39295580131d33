"""What a stage is: a plain function over (batch, tables, outbox). No App, no broker, no clock of its own.

A batch holds records of one topic, in order within each partition. A stage reads its tables, writes to them and to the
outbox, and returns nothing, or `Later` where it cannot go on. The engine makes what it wrote durable, or runs it again;
a test calls it with a list and a `DictEntries`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.metrics import Metric
from schemas.topics import Topic
from tables.table import Entries


class Input(Protocol):
    """A record as it was read. `timestamp` is in epoch milliseconds: the broker's clock where the topic says so."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Later:
    """The record at `index`, up to which all is done, cannot be worked before `not_before_ms`: its partition waits and
    reads it again. The records of other partitions behind it are handed over once more, at once."""

    index: int
    not_before_ms: int


Headers = Sequence[tuple[str, bytes]] | None
Outgoing = tuple[str, bytes | None, bytes | None, int, Headers]
"""A record to be written: topic, key, value, partition (-1 leaves the choice to the key), headers."""


class Outbox:
    """What a stage wants done: records to write, calls to make once those are durable, and what to count."""

    __slots__ = ("calls", "observed", "records", "tally")

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.calls: list[object] = []
        self.tally: dict[tuple[Metric, tuple[str, ...]], int] = {}
        self.observed: list[tuple[Metric, tuple[str, ...], float]] = []

    def send(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = None,
    ) -> None:
        """Write a record to `topic`."""
        self.records.append((topic.name, key, value, -1, headers))

    def call(self, work: object) -> None:
        """Do `work` outside, once everything else in this outbox is durable."""
        self.calls.append(work)

    def add(self, other: "Outbox") -> None:
        """Take over what another outbox holds."""
        self.records += other.records
        self.calls += other.calls
        self.observed += other.observed
        for (metric, labels), by in other.tally.items():
            self.count(metric, *labels, by=by)

    def count(self, metric: Metric, *labels: str, by: int = 1) -> None:
        """Count something that happened, if it becomes durable."""
        tally, key = self.tally, (metric, labels)
        tally[key] = tally.get(key, 0) + by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Note a value of a histogram, if it becomes durable."""
        self.observed.append((metric, labels, value))


Tables = Mapping[str, Entries]
Stage = Callable[[Sequence[Input], Tables, Outbox], Later | None]


def position(record: Input) -> str:
    """The name of a record: topic/partition/offset."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def header(record: Input, name: str) -> bytes | None:
    """The value of the only header of this name; None where there is none, several, or one of null."""
    found = [value for found, value in record.headers if found == name]
    return found[0] if len(found) == 1 else None
