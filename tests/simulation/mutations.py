"""The engine's guards, taken away one at a time: a simulation that does not miss them proves nothing.

Each mutation stands for a trap of the engine's table, those of `rules.py` for a rule of delivery. It gives what is
replaced while seeds are played.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

import flows.engine.tenure
from agents.stage import Input
from flows.engine.batch import Batch as Pending
from flows.engine.batch import cut
from flows.engine.engine import Engine
from flows.engine.frontier import Frontier, Span
from flows.engine.kafka.line import Line
from flows.engine.kafka.queued import Batch, Queue
from flows.engine.kafka.reader import Place, Reader
from flows.engine.partition import Partition, Verdict
from flows.engine.producer import Lines
from flows.engine.seams import Thread
from flows.engine.state.restore import Log, restore
from flows.engine.tenure import Tenure
from flows.writer import Place as Row
from flows.writer import Writer
from tests.simulation.rules import RULES
from tests.simulation.staging import Wanted
from tests.simulation.storms import (
    rows_take_long,
    the_wire_is_slow,
    work_comes_in_heaps,
    workers_are_cut_off,
    workers_come_and_go,
    workers_stand_still,
)

Mutation = Callable[[], list[Wanted]]


def no_offset_at_an_assignment() -> list[Wanted]:
    """A client reads on from wherever it stood before."""
    read, leave = Reader.read, Reader.leave
    stood: dict[tuple[Reader, Place], int] = {}

    def remember(self: Reader, places: Iterable[Place]) -> None:
        left = list(places)
        stood.update({(self, place): self._read_by[place]._at[place] for place in left if place in self._read_by})
        leave(self, left)

    def read_on(self: Reader, offsets: Mapping[Place, int]) -> None:
        read(self, {place: stood.get((self, place), offset) for place, offset in offsets.items()})

    return [(Reader, "leave", remember), (Reader, "read", read_on)]


def records_are_taken_wherever_they_begin() -> list[Wanted]:
    """What was fetched before a seek or a rebalance is as good as any."""

    def receive(self: Partition, records: Sequence[Input]) -> tuple[Verdict, Sequence[Input]]:
        if self.lost or self.resume_at is not None:
            return Verdict.NOTHING, ()
        self.next = records[-1].offset + 1
        return Verdict.TAKE, records

    return [(Partition, "receive", receive)]


def records_of_a_partition_that_waits_are_dropped() -> list[Wanted]:
    """It is read on meanwhile, and nobody puts it back."""
    taken = Partition.receive

    def receive(self: Partition, records: Sequence[Input]) -> tuple[Verdict, Sequence[Input]]:
        if self.reading:
            return taken(self, records)
        self.next = records[-1].offset + 1
        return Verdict.NOTHING, ()

    def follow(self: Tenure, *parts: Partition) -> None:
        self._reader.read({(part.topic, part.number): part.next for part in parts if part.reading})

    return [(Partition, "receive", receive), (Tenure, "follow", follow)]


def a_gap_that_repeats_is_never_real() -> list[Wanted]:
    """What compaction and transactions leave is waited for."""
    taken = Partition.receive

    def receive(self: Partition, records: Sequence[Input]) -> tuple[Verdict, Sequence[Input]]:
        self.gap = None
        return taken(self, records)

    return [(Partition, "receive", receive)]


def nobody_asks_whose_a_partition_is() -> list[Wanted]:
    """A batch that was held over a rebalance is run."""
    return [*rows_take_long(), (Tenure, "holds", lambda self, part: True)]


def a_ghost_goes_on() -> list[Wanted]:
    """A process that stood still works what it has queued."""
    return [(Tenure, "be_no_ghost", lambda self: None), (Tenure, "may_act", lambda self: True)]


def a_ghost_sends_what_it_has_queued() -> list[Wanted]:
    """A process that stood still writes what was queued before it did."""
    start = Lines.start

    async def unguarded(self: Lines) -> None:
        self.guards.clear()
        await start(self)

    return [*workers_stand_still(), (Lines, "start", unguarded)]


def who_is_not_heard_goes_on() -> list[Wanted]:
    """What a worker has queued while its group gave its partitions away is sent once it is heard again."""

    def ends_a_ghost(self: Tenure) -> bool:
        self.be_no_ghost()
        return True

    return [*workers_are_cut_off(), (Tenure, "may_act", ends_a_ghost)]


def what_a_broker_refuses_counts_as_written() -> list[Wanted]:
    """A partition that moves to another leader swallows what was on its way."""
    return [(Line, "_is_written", lambda self, answer: True)]


def what_is_sent_again_is_numbered_again() -> list[Wanted]:
    """The broker cannot tell a batch that it has from one that is new."""
    batch = Queue.next_batch

    def next_batch(self: Queue, producer_id: int, epoch: int) -> Batch:
        if self.batch is None:
            return batch(self, producer_id, epoch)
        found = self.batch
        builder = DefaultRecordBatchBuilder(2, 0, 0, producer_id, epoch, self._sequence, 2**31 - 1)
        for count, record in enumerate(DefaultRecordBatch(found.data)):
            builder.append(count, record.timestamp, record.key, record.value, record.headers)
            self._sequence += 1
        found.data = bytes(builder.build())
        return found

    return [(Queue, "next_batch", next_batch)]


def rows_under_way_are_not_waited_for() -> list[Wanted]:
    """A row that was given up may still land, over the next owner's."""

    async def nobody_looks(self: Writer, rows: dict[Row, Any]) -> list[int]:
        self._be_no_ghost()
        return await self._rows.put(next(iter(rows))[0], [found.item() for found in rows.values()])

    return [*rows_take_long(), (Writer, "_put", nobody_looks)]


def partitions_are_taken_at_the_very_end() -> list[Wanted]:
    """The last release is one like any other."""
    return [*workers_come_and_go(), (Tenure, "end", Tenure.release)]


def a_last_write_is_not_waited_for() -> list[Wanted]:
    """What the broker has not answered for when partitions are given up may land behind the next owner's records."""

    async def at_once(self: Tenure) -> None:
        """Wait for nothing."""

    return [*the_wire_is_slow(), (Tenure, "_nothing_unwritten", at_once)]


def what_was_handed_back_stays_in_the_frontier() -> list[Wanted]:
    """A span is begun for records that are read again, and nobody ends it."""
    back = Engine._hand_back

    def hand_back(self: Engine, batch: Pending, not_before_ms: int) -> None:
        batch.part.frontier.begin(batch.records[0].offset, 0.0)
        back(self, batch, not_before_ms)

    return [(Engine, "_hand_back", hand_back)]


def a_partition_is_cut_in_two_and_only_its_first_piece_goes_on() -> list[Wanted]:
    """What there was no room for is forgotten behind what is run again for another partition's sake."""
    run = Engine._run

    def piecemeal(self: Engine, ours: Sequence[Pending], room: int | None) -> list[Pending]:
        piece, rest = cut(ours, room) if room is not None else (list(ours), [])
        return [*run(self, piece, None), *rest]

    return [*work_comes_in_heaps(), (Engine, "_run", piecemeal)]


def a_refused_commit_is_forgotten() -> list[Wanted]:
    """It counts as made."""
    commit = Thread.commit_now

    async def commit_now(self: Thread, offsets: Mapping[tuple[str, int], int]) -> bool:
        await commit(self, offsets)
        return True

    return [(Thread, "commit_now", commit_now)]


def a_full_channel_blocks_the_fetch_loop() -> list[Wanted]:
    """Nothing is handed over before the agents have room for it."""
    poll = Reader.poll

    def when_free(self: Reader, consumer: Any) -> bool:
        return all(cast(Engine, owner)._inbox.qsize() <= 2 for owner in self._owners.values()) and poll(self, consumer)

    return [(Reader, "poll", when_free)]


def routing_begins_before_the_preferences_are_read() -> list[Wanted]:
    """Only changelogs are restored."""

    def changelogs_only(brokers: str, logs: list[Log], *rest: Any) -> bool:
        return restore(brokers, [log for log in logs if log.fold is None], *rest)

    return [(flows.engine.tenure, "restore", changelogs_only)]


def a_commit_before_the_acknowledgement() -> list[Wanted]:
    """A batch is done as soon as it is run."""
    begin = Frontier.begin

    def begun(self: Frontier, ends: int, now: float) -> Span:
        span = begin(self, ends, now)
        self.finish(span)
        return span

    return [(Frontier, "begin", begun)]


MUTATIONS: tuple[Mutation, ...] = (
    no_offset_at_an_assignment,
    records_are_taken_wherever_they_begin,
    records_of_a_partition_that_waits_are_dropped,
    a_gap_that_repeats_is_never_real,
    nobody_asks_whose_a_partition_is,
    a_ghost_goes_on,
    a_ghost_sends_what_it_has_queued,
    who_is_not_heard_goes_on,
    what_a_broker_refuses_counts_as_written,
    what_is_sent_again_is_numbered_again,
    rows_under_way_are_not_waited_for,
    partitions_are_taken_at_the_very_end,
    a_last_write_is_not_waited_for,
    what_was_handed_back_stays_in_the_frontier,
    a_partition_is_cut_in_two_and_only_its_first_piece_goes_on,
    a_refused_commit_is_forgotten,
    a_full_channel_blocks_the_fetch_loop,
    routing_begins_before_the_preferences_are_read,
    a_commit_before_the_acknowledgement,
    *RULES,
)
