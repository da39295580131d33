"""One flow at work: batches in, stages over them, what they wrote made durable, the frontier committed.

    read ─ receive ─ inbox ─ work ─ run ─ emit ─ (acknowledged) ─ frontier ─ commit
                                            └ calls outside ─ settle ─ emit ─┘

Everything here runs on the event loop; librdkafka's threads fetch, a thread pool opens and restores stores.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from faust.types import TP

from agents.stage import Input, Later, Outbox, Tables
from flows.engine.flow import Flow
from flows.engine.frontier import Span
from flows.engine.meters import Meters
from flows.engine.outside import Calls
from flows.engine.partition import Partition, Verdict
from flows.engine.producer import LINGER_MS, Changes, FlowProducer, Lines
from flows.engine.queued import Then
from flows.engine.reader import Place, Readers
from flows.engine.seams import BatchConsumer, EngineApp, Thread
from flows.engine.stop import die
from flows.engine.tables import FlowTables, View
from flows.engine.tenure import Tenure
from schemas import metrics
from schemas.errors import TopicsDiffer
from schemas.sealing import KeyRing
from tables.table import Entries

QUEUED_LIMIT = 1024
"""Records of a partition that may wait for the agent before the partition is paused."""
LOOK_AGAIN_S = 5.0
"""A partition that was handed back is looked at so often: the clock that it waits by may be put right."""

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
        lines: Lines,
        readers: Readers,
        folder: Path,
        ring: KeyRing,
        meters: Meters,
        replicated: Mapping[str, Entries],
        pool: ThreadPoolExecutor,
    ) -> None:
        self.flow, self.app = flow, app
        self._meters = meters
        self._stages = {topic.name: stage for topic, stage in flow.stages.items()}
        self.tables = FlowTables(folder, flow.name, flow.tables, replicated)
        lingering = {topic.name for topic in flow.writes if topic.lingers}
        lingering |= {self.tables.log_of[name] for name, table in self.tables.specs.items() if table.lingers}
        self.producer = FlowProducer(lines.of(flow.waits.linger_ms), lines.of(LINGER_MS), lingering)
        lines.guards.append(self._may_act)
        self.calls: Calls | None = None
        if flow.outside is not None:
            self.calls = Calls(flow.outside, flow.waits, replicated, self._settled, self._done, self._may_act)
        self.tenure = Tenure(
            flow,
            self.tables,
            self.producer,
            readers.of(flow.waits.fetch_max_wait_ms, (topic.name for topic in flow.stages), self),
            self.calls,
            self._thread,
            brokers=brokers,
            ring=ring,
            meters=meters,
            pool=pool,
        )
        app.owner = self
        for topic in flow.stages:
            app.topics.add(app.topic(topic.name, key_type=bytes, value_type=bytes))
        self._inbox: Any = None
        app.agent(app.channel(maxsize=1_000_000), name=flow.name)(self._work)

    def _may_act(self) -> bool:
        return self.tenure.may_act()

    def _thread(self) -> Thread:
        return cast(BatchConsumer, self.app.consumer).thread

    async def take(self, assigned: set[TP]) -> None:
        """Partitions are ours (from the consumer)."""
        self.tenure.take(assigned)

    async def release(self) -> None:
        """Partitions are ours no more (from the consumer)."""
        await self.tenure.release()

    async def start_outside(self) -> None:
        """Start what the flow does outside, where it has to be started."""
        if self.flow.outside is not None and self.flow.outside.start is not None:
            await self.flow.outside.start(self.tenure.be_no_ghost)

    # -- reading ---------------------------------------------------------------------------------------------------

    def receive(self, records: Mapping[Place, Sequence[Input]]) -> None:
        """Fetched records: hand them to the agent, or have them read again."""
        batches = []
        for place, found in records.items():
            part = self.tenure.parts.get(place)
            if part is None:
                continue
            starts = part.next
            verdict, taken = part.receive(found)
            if verdict is Verdict.PUT_BACK:
                self.tenure.follow(part)
            elif verdict is Verdict.TAKE:
                part.queued += len(taken)
                batches.append(Batch(part, taken, starts))
                if part.queued >= QUEUED_LIMIT and not part.full:
                    part.full = True
                    self.tenure.follow(part)
        if batches:
            self._inbox.put_nowait(batches)
        self._meters.count(metrics.FETCHES, (self.flow.name,))

    def read_anew(self, topic: str) -> None:
        """Have every partition of `topic` read from its next offset (from the reader)."""
        self.tenure.follow(*(part for part in self.tenure.parts.values() if part.topic == topic))

    # -- working ---------------------------------------------------------------------------------------------------

    async def _work(self, stream: Any) -> None:
        """The Faust agent: every batch of the flow goes through here, those of one hand-over together."""
        self._inbox = stream.channel.queue
        try:
            async for batches in stream:
                for batch in batches:
                    await self._pieces(batch)
                    part = batch.part
                    part.queued -= len(batch.records)
                    if part.full and part.queued < QUEUED_LIMIT // 2:
                        part.full = False
                        self.tenure.follow(part)
        except Exception as error:  # Faust would acknowledge and go on
            die(f"the agent of {self.flow.name} failed", error)

    async def _pieces(self, batch: Batch) -> None:
        """Run a batch, whole or, where calls are made, in pieces no larger than the room for calls."""
        part, records, starts = batch.part, batch.records, batch.starts
        while records:
            await self.producer.room()
            room = await self.calls.room() if self.calls else len(records)
            if part.turn != starts or not self.tenure.holds(part):
                return
            piece, records = records[:room], records[room:]
            starts = piece[-1].offset + 1
            self._run(part, piece, starts)

    def _run(self, part: Partition, records: Sequence[Input], ends: int) -> None:
        """One piece, from ownership check to emission, without an await: nothing can be revoked in between."""
        views: Tables = self.tables.views(part.number)
        outbox = Outbox()
        try:
            later = self._stages[part.topic](records, views, outbox)
        except Exception as error:  # any bug of a stage is one record's bug
            log.warning("stage_raised", extra={"flow": self.flow.name, "error": type(error).__name__})
            views, outbox, later = self._one_by_one(part, records)
        if later is not None:
            self._hand_back(part, records, later)
            if later.index == 0:
                return
            ends, records = records[later.index].offset, records[: later.index]
        else:
            part.turn = ends
        self._meters.count(metrics.RECORDS, (self.flow.name, part.topic), len(records))
        self._meters.count(metrics.BATCHES, (self.flow.name,))
        span = part.frontier.begin(ends, time.monotonic())
        if self.calls is not None and outbox.calls:
            durable, whole = self.calls.announce(part, span, outbox.calls)
        else:
            durable, whole = _nothing, partial(self._done, part, span)
        self._emit(part, views, outbox, durable, whole)
        self.tables.applied(part.topic, part.number, ends)

    def _hand_back(self, part: Partition, records: Sequence[Input], later: Later) -> None:
        wait_s = min(max(0.001, later.not_before_ms / 1000 - time.time()), LOOK_AGAIN_S)
        part.rewind(records[later.index].offset, time.monotonic() + wait_s)
        self.tenure.follow(part)
        asyncio.get_running_loop().call_later(wait_s, self._resume, part)

    def _resume(self, part: Partition) -> None:
        part.resume_at = None
        self.tenure.follow(part)

    def _one_by_one(self, part: Partition, records: Sequence[Input]) -> tuple[Tables, Outbox, Later | None]:
        """Find the record on which the stage raises, and bury it; the others go their way."""
        kept, stage = Outbox(), self._stages[part.topic]
        views: Tables = self.tables.views(part.number)
        for index, record in enumerate(records):
            trial: Tables = self.tables.views(part.number, views)
            outbox = Outbox()
            try:
                later = stage([record], trial, outbox)
            except Exception as error:  # the culprit, whatever it raised
                trial, outbox, later = views, Outbox(), None
                self.flow.bury(record, type(error).__name__, trial, outbox)
                outbox.count(metrics.CULPRITS, self.flow.name)
            if later is not None:
                return views, kept, Later(index, later.not_before_ms)
            views = trial
            kept.add(outbox)
        return views, kept, None

    # -- making durable --------------------------------------------------------------------------------------------

    def _emit(self, part: Partition, views: Tables, outbox: Outbox, durable: Then, whole: Then) -> None:
        """Write to the stores, the changelogs and the topics; then as `FlowProducer.emit`."""
        self.tenure.be_no_ghost()
        changelogs: list[Changes] = []
        for name in self.tables.specs:
            writes = cast(View, views[name]).writes
            if writes:
                self.tables.store(name, part.number).write(writes)
                if name in self.tables.changelogged:
                    changelogs.append((self.tables.log_of[name], part.number, writes))
        self._meters.absorb(outbox)
        self._meters.count(metrics.PRODUCED, (self.flow.name,), len(outbox.records))
        self.producer.emit(outbox.records, changelogs, durable, whole, self.tables.logged)

    def _done(self, part: Partition, span: Span) -> None:
        part.frontier.finish(span)
        self.tenure.progress_at = time.monotonic()

    def _settled(self, part: Partition, results: list[object], durable: Then, whole: Then) -> None:
        """Results of calls: write what follows from them."""
        assert self.flow.outside is not None, "calls come from a flow with an outside"
        views, outbox = self.tables.views(part.number), Outbox()
        self.flow.outside.settle(results, views, outbox)
        self._emit(part, views, outbox, durable, whole)

    def check_partitions(self) -> None:
        """Refuse topics that are missing or whose partition counts differ. Raises TopicsDiffer."""
        names = [*self._stages, *self.tables.log_of.values(), *(topic.name for topic in self.flow.writes)]
        counts = {name: self.producer.partitions(name) for name in names}
        if 0 in counts.values() or len(set(counts.values())) > 1:
            raise TopicsDiffer(
                f"{self.flow.name} needs topics of one partition count, found {counts}: see `carillon topics plan`"
            )


def _nothing() -> None:
    """Nobody waits for a batch without calls but the commit."""
