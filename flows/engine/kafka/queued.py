"""What waits for one partition, and the batch of it that is on its way. No network here."""

import math
from collections.abc import Callable
from itertools import islice

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from agents.stage import Headers

BATCH_BYTES = 262_144
"""Records of a partition that go together, before compression; a larger record goes alone."""
_MAGIC = 2
_COMPRESSED_FROM = 1_000
"""Bytes of values: compressing fewer costs more time than the rest of their way and saves next to nothing."""
_LOOKED_AT = 8
"""Records whose values are added up to see whether there are so many."""
_SEQUENCES = 2**31
_NO_HEADERS: list[tuple[str, bytes]] = []

WEIGHT = 4096
"""What a queued record weighs beside its value, in bytes: more than it takes, so that many small ones count, too."""

Logged = Callable[[str, int, int], None]
"""(topic, partition, next offset): a changelog is durable up to there."""

Then = Callable[[], None]

Entry = tuple[bytes | None, bytes | None, Headers, "Emission", bool]
"""Key, value, headers, what it is part of, and whether it is a changelog's."""


class Emission:
    """Records produced together; `then` runs once, when nothing of them is left to be acknowledged."""

    __slots__ = ("at_ms", "began", "left", "logged", "then")

    def __init__(self, left: int, began: float, at_ms: int, then: Then, logged: Logged) -> None:
        self.left = left
        """How many batches hold records of it, and what else it is told of by `less`."""
        self.began = began
        """The loop's time."""
        self.at_ms = at_ms
        """What its records say of their time."""
        self.then = then
        self.logged = logged

    def less(self) -> None:
        """One of them is acknowledged."""
        self.left -= 1
        if not self.left:
            self.then()


class Batch:
    """Records under one sequence number: sent byte for byte until the broker has them."""

    __slots__ = ("data", "emissions", "logs", "weight")

    def __init__(self, data: bytes, emissions: list[Emission], logs: list[tuple[Emission, int]], weight: int) -> None:
        self.data = data
        self.emissions = emissions
        self.logs = logs
        """For each changelog record its emission and how many records the batch holds up to it."""
        self.weight = weight


class Queue:
    """Records for one partition in their order. One batch of them is numbered at a time: nothing overtakes it."""

    __slots__ = ("_entries", "_sequence", "batch", "moving", "number", "topic")

    def __init__(self, topic: str, number: int) -> None:
        self.topic, self.number = topic, number
        self.batch: Batch | None = None
        """What is numbered and not acknowledged."""
        self.moving = False
        """Whether someone sees to it already."""
        self._entries: list[Entry] = []
        self._sequence = 0

    def __bool__(self) -> bool:
        return self.batch is not None or bool(self._entries)

    @property
    def began(self) -> float:
        """The loop's time at which its oldest record was queued; infinity without records."""
        if self.batch is not None:
            return self.batch.emissions[0].began
        return self._entries[0][3].began if self._entries else math.inf

    def add(self, entry: Entry) -> None:
        """Queue one record."""
        if not self._entries or self._entries[-1][3] is not entry[3]:
            entry[3].left += 1
        self._entries.append(entry)

    def next_batch(self, producer_id: int, epoch: int) -> Batch:
        """The batch that is to go: the one that was not acknowledged, or else a new one of what is queued."""
        if self.batch is None:
            entries = self._entries
            found = sum(len(entry[1] or b"") for entry in islice(entries, _LOOKED_AT))
            codec = DefaultRecordBatch.CODEC_LZ4 if found > _COMPRESSED_FROM else DefaultRecordBatch.CODEC_NONE
            state = producer_id, epoch, self._sequence
            self.batch = self._fill(DefaultRecordBatchBuilder(_MAGIC, codec, 0, *state, BATCH_BYTES))
        return self.batch

    def _fill(self, builder: DefaultRecordBatchBuilder) -> Batch:
        entries, emissions, logs, weighs, count = self._entries, [], [], 0, 0
        last: Emission | None = None
        append = builder.append
        for key, value, headers, emission, logged in entries:
            if append(count, emission.at_ms, key, value, list(headers) if headers else _NO_HEADERS) is None:
                break
            count += 1
            weighs += WEIGHT + len(value or b"")
            if emission is not last:
                emissions.append(emission)
                last = emission
            if logged:
                logs.append((emission, count))
        self._entries = entries[count:]
        if last is not None and self._entries and self._entries[0][3] is last:
            last.left += 1  # the rest of it goes with another batch
        self._sequence = (self._sequence + count) % _SEQUENCES
        return Batch(bytes(builder.build()), emissions, logs, weighs)

    def acked(self, offset: int | None) -> int:
        """The broker has the batch, from `offset` on (None: it cannot tell): tell those who wait. Gives its weight."""
        batch, self.batch = self.batch, None
        assert batch is not None, "only what is numbered is acknowledged"
        if offset is not None:
            for emission, count in batch.logs:
                emission.logged(self.topic, self.number, offset + count)
        for emission in batch.emissions:
            emission.less()
        return batch.weight
