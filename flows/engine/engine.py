"""One flow at work: batches in, stages over them, what they wrote made durable, the frontier committed.

    fetch ─ receive ─ channel ─ work ─ run ─ emit ─ (acknowledged) ─ frontier ─ commit
                                              └ calls outside ─ settle ─ emit ─┘

Everything here runs on the event loop; the thread of the client fetches, a thread pool opens and restores stores.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from faust.types import TP

from agents.stage import Input, Later, Outbox, Tables
from flows.engine.flow import Flow
from flows.engine.frontier import Span
from flows.engine.meters import Meters
from flows.engine.outside import Calls
from flows.engine.partition import Partition, Verdict
from flows.engine.producer import Changes, FlowProducer
from flows.engine.restore import Log, restore
from flows.engine.seams import BatchConsumer, EngineApp
from flows.engine.stop import die
from flows.engine.tables import FlowTables, View
from schemas import metrics
from schemas.errors import TopicsDiffer
from schemas.sealing import KeyRing
from schemas.topics import changelog
from tables.table import Entries, Kind

COMMIT_S = 0.5
QUEUED_LIMIT = 1024
"""Records of a partition that may wait for the agent before the partition is paused."""

log = logging.getLogger("carillon.engine")


class Batch:
    """Records of one partition, as one hand-over brought them; `starts` is the offset they follow on."""

    __slots__ = ("part", "records", "starts")

    def __init__(self, part: Partition, records: Sequence[Input], starts: int) -> None:
        self.part = part
        self.records = records
        self.starts = starts


class Engine:
    """Runs one flow inside one Faust app."""

    def __init__(
        self,
        flow: Flow,
        app: EngineApp,
        *,
        brokers: str,
        folder: Path,
        ring: KeyRing,
        meters: Meters,
        replicated: Mapping[str, Entries],
        pool: ThreadPoolExecutor,
    ) -> None:
        self.flow = flow
        self.app = app
        self.fetch_min_bytes = flow.waits.fetch_min_bytes
        self.fetch_max_wait_ms = flow.waits.fetch_max_wait_ms
        self._brokers, self._ring, self._meters, self._pool = brokers, ring, meters, pool
        self.tables = FlowTables(folder, flow.name, flow.tables, replicated)
        self._logs = {
            table.name: (table.source or changelog(flow.name, table.name, table.keep_s or 0)).name
            for table in flow.tables
            if table.kind is not Kind.REPLICATED
        }
        self._changelogged = [t.name for t in flow.tables if t.kind is Kind.CHANGELOGGED]
        self._sources = {t.source.name: t.name for t in flow.tables if t.kind is Kind.SOURCE_BACKED and t.source}
        self._tables_of = {topic: name for name, topic in self._logs.items()}
        self._stages = {topic.name: stage for topic, stage in flow.stages.items()}
        self.producer = FlowProducer(brokers, flow.waits.linger_ms, flow.group)
        self.calls = Calls(flow.outside, flow.waits, replicated, self._settled, self._done) if flow.outside else None
        self.parts: dict[tuple[str, int], Partition] = {}
        self._generation = 0
        self._taking: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        self.ready = False
        self.progress_at = time.monotonic()
        app.owner = self
        for topic in flow.stages:
            app.topics.add(app.topic(topic.name, key_type=bytes, value_type=bytes))
        self._inbox: Any = None
        app.agent(app.channel(maxsize=1_000_000), name=flow.name)(self._work)

    @property
    def _consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self.app.consumer)

    # -- reading ---------------------------------------------------------------------------------------------------

    def receive(self, records: Mapping[Any, list[Any]]) -> None:
        """Fetched records: hand them to the agent, or put them back by a seek."""
        for place, found in records.items():
            part = self.parts.get((place.topic, place.partition))
            if part is None:
                continue
            starts = part.next
            verdict, taken = part.receive(found)
            if verdict is Verdict.PUT_BACK:
                self._consumer.thread.in_thread(self._consumer.thread.seek_to, part.topic, part.number, part.next)
            elif verdict is Verdict.TAKE:
                part.queued += len(taken)
                self._inbox.put_nowait(Batch(part, taken, starts))
                if part.queued >= QUEUED_LIMIT and not part.full:
                    part.full = True
                    self._want()
        self._meters.count(metrics.FETCHES, (self.flow.name,))
        self._consumer.thread.in_thread(self._consumer.thread.taken)

    def _want(self) -> None:
        wanted = [place for place, part in self.parts.items() if part.reading]
        self._consumer.thread.in_thread(self._consumer.thread.want, wanted)

    # -- working ---------------------------------------------------------------------------------------------------

    async def _work(self, stream: Any) -> None:
        """The Faust agent: every batch of the flow goes through here."""
        self._inbox = stream.channel.queue
        try:
            async for batch in stream:
                await self._pieces(batch)
                part = batch.part
                part.queued -= len(batch.records)
                if part.full and part.queued < QUEUED_LIMIT // 2:
                    part.full = False
                    self._want()
        except Exception as error:
            die(f"the agent of {self.flow.name} failed", error)

    async def _pieces(self, batch: Batch) -> None:
        """Run a batch, whole or, where calls are made, in pieces no larger than the room for calls."""
        records, starts = batch.records, batch.starts
        while records:
            await self.producer.room()
            room = await self.calls.room() if self.calls else len(records)
            part = batch.part
            if part.lost or part.turn != starts or self.parts.get((part.topic, part.number)) is not part:
                return
            piece, records = records[:room], records[room:]
            starts = piece[-1].offset + 1
            self._run(part, piece, starts)

    def _run(self, part: Partition, records: Sequence[Input], ends: int) -> None:
        """One piece, from ownership check to emission, without an await: nothing can be revoked in between."""
        views, outbox = self.tables.views(part.number), Outbox()
        stage = self._stages[part.topic]
        try:
            later = stage(records, views, outbox)
        except Exception as error:  # noqa: BLE001 - any bug of a stage is one record's bug
            log.warning("stage_raised", extra={"flow": self.flow.name, "error": type(error).__name__})
            views, outbox, later = self._one_by_one(part, records)
        if later is not None:
            self._hand_back(part, records, later)
            if later.index == 0:
                return
            ends = records[later.index].offset
            records = records[: later.index]
        else:
            part.turn = ends
        self._meters.count(metrics.RECORDS, (self.flow.name, part.topic), len(records))
        self._meters.count(metrics.BATCHES, (self.flow.name,))
        span = part.frontier.begin(ends, time.monotonic())
        if self.calls is not None:
            self.calls.reserve(len(outbox.calls))
        self._emit(part, views, outbox, lambda: self._durable(part, span, outbox.calls))
        if part.topic in self._sources:
            self.tables.acked[self._sources[part.topic], part.number] = ends

    def _hand_back(self, part: Partition, records: Sequence[Input], later: Later) -> None:
        offset = records[later.index].offset
        wait_s = max(0.001, later.not_before_ms / 1000 - time.time())
        part.rewind(offset, time.monotonic() + wait_s)
        self._want()
        asyncio.get_running_loop().call_later(wait_s, self._resume, part)

    def _resume(self, part: Partition) -> None:
        if part.lost or part.resume_at is None:
            return
        part.resume_at = None
        thread = self._consumer.thread
        thread.in_thread(thread.seek_to, part.topic, part.number, part.next)
        self._want()

    def _one_by_one(self, part: Partition, records: Sequence[Input]) -> tuple[Tables, Outbox, Later | None]:
        """Find the record on which the stage raises, and bury it; the others go their way."""
        kept, views = Outbox(), self.tables.views(part.number)
        stage = self._stages[part.topic]
        for index, record in enumerate(records):
            trial, outbox = self.tables.views(part.number), Outbox()
            for name in self.tables.specs:
                _carry(cast(View, views[name]), cast(View, trial[name]))
            try:
                later = stage([record], trial, outbox)
            except Exception as error:  # noqa: BLE001 - the culprit, whatever it raised
                trial, outbox, later = views, Outbox(), None
                self.flow.bury(record, type(error).__name__, trial, outbox)
                outbox.count(metrics.CULPRITS, self.flow.name)
            if later is not None:
                return views, kept, Later(index, later.not_before_ms)
            views = trial
            kept.records += outbox.records
            kept.calls += outbox.calls
            for (metric, labels), by in outbox.tally.items():
                kept.count(metric, *labels, by=by)
            kept.observed += outbox.observed
        return views, kept, None

    # -- making durable --------------------------------------------------------------------------------------------

    def _emit(self, part: Partition, views: Tables, outbox: Outbox, then: Callable[[], None]) -> None:
        """Write to the stores, the changelogs and the topics; `then` runs when all of it is acknowledged."""
        changelogs: list[Changes] = []
        for name in self.tables.specs:
            writes = cast(View, views[name]).writes
            if writes:
                self.tables.store(name, part.number).write(writes)
                if name in self._changelogged:
                    changelogs.append((self._logs[name], part.number, writes))
        self._meters.absorb(outbox)
        self.producer.emit(outbox.records, changelogs, then, self._logged)

    def _logged(self, topic: str, partition: int, offset: int) -> None:
        self.tables.acked[self._tables_of[topic], partition] = offset

    def _durable(self, part: Partition, span: Span, calls: list[object]) -> None:
        """Everything a piece wrote is acknowledged: make its calls, or call it done."""
        if calls and self.calls is not None:
            self.calls.start(part, span, calls)
        else:
            self._done(part, span)

    def _done(self, part: Partition, span: Span) -> None:
        part.frontier.finish(span)
        self.progress_at = time.monotonic()

    def _settled(self, part: Partition, results: list[object], then: Callable[[], None]) -> None:
        """Results of calls: write what follows from them; `then` runs when that is durable."""
        assert self.flow.outside is not None
        views, outbox = self.tables.views(part.number), Outbox()
        self.flow.outside.settle(results, views, outbox)
        self._emit(part, views, outbox, then)

    # -- owning ----------------------------------------------------------------------------------------------------

    async def take(self, assigned: set[TP]) -> None:
        """Partitions are ours: restore their tables and read on, in the background."""
        self._generation += 1
        self._taking = asyncio.get_running_loop().create_task(self._take(assigned, self._generation))
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit_for_ever())

    async def _take(self, assigned: set[TP], generation: int) -> None:
        try:
            thread = self._consumer.thread
            starts = await thread.ask_thread(thread.starts(assigned))
            numbers = {place.partition for place in assigned}
            if not await self._on_pool(lambda: self._restore(numbers, generation)) or generation != self._generation:
                return
            for place, offset in starts.items():
                self.parts[place.topic, place.partition] = Partition(place.topic, place.partition, offset)
                thread.in_thread(thread.seek_to, place.topic, place.partition, offset)
            self._want()
            self.ready = True
            self.progress_at = time.monotonic()
            log.info("flow_ready", extra={"flow": self.flow.name, "partitions": len(assigned)})
        except Exception as error:  # noqa: BLE001 - a flow without its tables must not run
            die(f"{self.flow.name} could not take its partitions over", error)

    def _restore(self, numbers: set[int], generation: int) -> bool:
        """Open and restore the stores of these partitions (in a thread)."""
        self.tables.keep_only(numbers)
        logs = []
        for number in sorted(numbers):
            self.tables.open(number)
            for name, spec in self.tables.specs.items():
                fold = spec.fold if spec.kind is Kind.SOURCE_BACKED else None
                logs.append(Log(self._logs[name], number, self.tables.store(name, number), fold, spec.keep_s))

        def progress(done: int, left: int) -> None:
            self.progress_at = time.monotonic()
            self._meters.set(metrics.RESTORE_LEFT, (self.flow.name,), left)

        return restore(self._brokers, logs, self._ring, progress, lambda: generation != self._generation)

    async def release(self) -> None:
        """Everything is revoked: start nothing, drain what is under way, commit, and own nothing any more."""
        self.ready = False
        self._generation += 1
        if self._taking is not None:
            await asyncio.wait({self._taking})
            self._taking = None
        held = list(self.parts.values())
        if not held:
            return
        self._consumer.thread.in_thread(self._consumer.thread.want, [])
        self.parts = {}
        deadline = time.monotonic() + self.flow.waits.drain_s
        if self.calls is not None:
            await self.calls.drain(deadline)
        deadline = max(deadline, time.monotonic() + 1.0)
        while any(part.frontier.open for part in held) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        await self._commit(held)
        for part in held:
            part.lost = True
        await self._on_pool(self.tables.persist)

    async def _commit_for_ever(self) -> None:
        try:
            while True:
                await asyncio.sleep(COMMIT_S)
                await self._commit(list(self.parts.values()))
                if self.ready:
                    self.tables.persist()
                    self._measure()
        except Exception as error:  # noqa: BLE001 - commits that stop unseen are a silent stall
            die(f"commits of {self.flow.name} stopped", error)

    async def _commit(self, parts: list[Partition]) -> None:
        """Commit each frontier that moved; what is refused is tried again at the next turn."""
        moved = {(p.topic, p.number): p.frontier.position for p in parts if p.frontier.position > p.frontier.committed}
        if not moved:
            return
        thread = self._consumer.thread
        if await thread.ask_thread(thread.commit_now(moved)):
            for part in parts:
                part.frontier.committed = max(part.frontier.committed, moved.get((part.topic, part.number), 0))

    def _measure(self) -> None:
        """Bring the gauges up to date."""
        name, set_ = self.flow.name, self._meters.set
        oldest = [at for part in self.parts.values() if (at := part.frontier.waiting_since()) is not None]
        set_(metrics.FRONTIER_AGE, (name,), time.monotonic() - min(oldest) if oldest else 0.0)
        for topic, lag in self.lag().items():
            set_(metrics.LAG, (name, topic), lag)
        for table, entries in self.tables.entries().items():
            set_(metrics.TABLE_ENTRIES, (name, table), entries)
        if self.calls is not None:
            set_(metrics.IN_FLIGHT, (name,), self.calls.in_flight)

    def lag(self) -> dict[str, int]:
        """Records between the frontier and the log's end, by topic, as far as ends are known."""
        ends, lags = self._consumer.thread.ends(), dict.fromkeys(self._stages, 0)
        for place, part in self.parts.items():
            lags[part.topic] += max(0, ends.get(place, 0) - part.frontier.position)
        return lags

    @property
    def waiting(self) -> bool:
        """Whether every partition that lags was handed back on purpose, or waits for calls that have their own end."""
        ends = self._consumer.thread.ends()
        behind = [p for place, p in self.parts.items() if ends.get(place, 0) > p.frontier.position]
        return all(p.resume_at is not None for p in behind) or bool(self.calls and self.calls.in_flight)

    async def _on_pool(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def check_partitions(self) -> None:
        """Refuse topics that are missing or whose partition counts differ (blocks). Raises TopicsDiffer."""
        counts = {topic.name: self.producer.partitions(topic.name) for topic in self.flow.stages}
        counts |= {name: self.producer.partitions(name) for name in self._logs.values()}
        if 0 in counts.values() or len(set(counts.values())) > 1:
            raise TopicsDiffer(f"{self.flow.name} needs topics of one partition count, found {counts}: see `carillon topics plan`")

    async def close(self) -> None:
        """Let go of everything at the end of the process."""
        if self._committing is not None:
            self._committing.cancel()
        await self._on_pool(self.tables.close)


def _carry(earlier: View, later: View) -> None:
    """A trial view sees what the records before it wrote."""
    for key, entry in earlier.writes.items():
        if entry is not None:
            later[key] = entry
