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

from agents.stage import Input, Outbox, Tables
from flows.engine.batch import Batch, cut
from flows.engine.flow import Flow
from flows.engine.guarded import Guarded
from flows.engine.kafka.queued import Then
from flows.engine.kafka.reader import Place, Readers
from flows.engine.meters import Meters
from flows.engine.outside import Calls
from flows.engine.partition import Partition, Spans, Verdict
from flows.engine.producer import LINGER_MS, FlowProducer, Lines
from flows.engine.seams import BatchConsumer, EngineApp, Thread
from flows.engine.state.tables import FlowTables
from flows.engine.stop import die
from flows.engine.tenure import Tenure
from flows.engine.turns import Turns
from schemas import metrics
from schemas.errors import TopicsDiffer
from schemas.sealing import KeyRing
from tables.table import Entries

QUEUED_LIMIT = 1024
"""Records of a partition that may wait for the agent before the partition is paused."""
LOOK_AGAIN_S = 5.0
"""A partition that was handed back is looked at so often: the clock that it waits by may be put right."""

log = logging.getLogger("carillon.engine")


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
        self._topics = [topic.name for topic in flow.stages]
        self.tables = FlowTables(folder, flow.name, flow.tables, replicated)
        lingering = {topic.name for topic in flow.writes if topic.lingers}
        lingering |= {self.tables.log_of[name] for name, table in self.tables.specs.items() if table.lingers}
        self.producer = FlowProducer(lines.of(flow.waits.linger_ms), lines.of(LINGER_MS), lingering)
        lines.guards.append(self._may_act)
        self._guarded = Guarded(flow, self.tables)
        self.calls: Calls | None = None
        if flow.outside is not None:
            then = self._settled, self._done, self._may_act, self._raised
            self.calls = Calls(flow.outside, flow.waits, replicated, *then)
        self.tenure = Tenure(
            flow,
            self.tables,
            self.producer,
            readers.of(flow.waits.fetch_max_wait_ms, self._topics, self, self.tables.sources),
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
        self._turns: Turns[list[Batch]] = Turns()
        self._inbox: Any = None
        """Holds the topic of each piece of work that waits for its turn."""
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
        """Fetched records: hand them to the agent, those of a topic together, or have them read again."""
        taken: dict[str, list[Batch]] = {}
        for place, found in records.items():
            part = self.tenure.parts.get(place)
            if part is None:
                continue
            starts = part.next
            verdict, fit = part.receive(found)
            if verdict is Verdict.PUT_BACK:
                self.tenure.follow(part)
            elif verdict is Verdict.TAKE:
                part.queued += len(fit)
                taken.setdefault(part.topic, []).append(Batch(part, fit, starts))
                if part.queued >= QUEUED_LIMIT and not part.full:
                    part.full = True
                    self.tenure.follow(part)
        for topic, batches in taken.items():
            self._turns.add(topic, batches)
            self._inbox.put_nowait(topic)
        self._meters.count(metrics.FETCHES, (self.flow.name,))

    def read_anew(self, topic: str) -> None:
        """Have every partition of `topic` read from its next offset (from the reader)."""
        self.tenure.follow(*(part for part in self.tenure.parts.values() if part.topic == topic))

    # -- working ---------------------------------------------------------------------------------------------------

    async def _work(self, stream: Any) -> None:
        """The Faust agent: every batch of the flow goes through here, those of one topic and hand-over together."""
        self._inbox = stream.channel.queue
        try:
            async for _ in stream:
                batches = self._turns.next()
                await self._pieces(batches)
                for batch in batches:
                    part = batch.part
                    part.queued -= len(batch.records)
                    if part.full and part.queued < QUEUED_LIMIT // 2:
                        part.full = False
                        self.tenure.follow(part)
        except Exception as error:  # Faust would acknowledge and go on
            die(f"the agent of {self.flow.name} failed", error)

    async def _pieces(self, batches: Sequence[Batch]) -> None:
        """Run batches, whole or, where calls are made, in pieces no larger than the room for calls."""
        left = list(batches)
        while left:
            await self.producer.room()
            room = await self.calls.room() if self.calls else None
            ours = [batch for batch in left if batch.part.turn == batch.starts and self.tenure.holds(batch.part)]
            left = self._run(ours, room) if ours else []
            if left:
                await asyncio.sleep(0)  # with many partitions handed back one by one, others get their turn

    def _run(self, ours: Sequence[Batch], room: int | None) -> list[Batch]:
        """One piece, from ownership check to emission, without an await: nothing can be revoked in between.

        Returns what is still to be run: what there was no room for, and where the stage handed a partition back, the
        other partitions behind it.
        """
        topic = ours[0].part.topic
        batches, left = cut(ours, room) if room is not None else (list(ours), [])
        records, now = [record for batch in batches for record in batch.records], time.monotonic()
        views, outbox, later = self._guarded.run(topic, records)
        if later is not None:
            batches, (back, *left) = cut(ours, later.index)
            self._hand_back(back, later.not_before_ms)
            if not batches:
                return left
            records = records[: later.index]
        self._guarded.culprits.ran(len(records), now)
        self._meters.count(metrics.RECORDS, (self.flow.name, topic), len(records))
        self._meters.count(metrics.BATCHES, (self.flow.name,))
        spans = []
        for batch in batches:
            ends = batch.records[-1].offset + 1
            batch.part.turn = max(batch.part.turn, ends)  # what was handed back is further on
            spans.append((batch.part, batch.part.frontier.begin(ends, now)))
        if self.calls is not None and outbox.calls:
            durable, whole = self.calls.announce(spans, outbox.calls)
        else:
            durable, whole = _nothing, partial(self._done, spans)
        self._emit(views, outbox, durable, whole)
        for part, span in spans:
            self.tables.applied(topic, part.number, span.ends)
        return left

    def _hand_back(self, batch: Batch, not_before_ms: int) -> None:
        part, wait_s = batch.part, min(max(0.001, not_before_ms / 1000 - time.time()), LOOK_AGAIN_S)
        part.rewind(batch.records[0].offset, time.monotonic() + wait_s)
        self.tenure.follow(part)
        asyncio.get_running_loop().call_later(wait_s, self._resume, part)

    def _resume(self, part: Partition) -> None:
        part.resume_at = None
        self.tenure.follow(part)

    # -- making durable --------------------------------------------------------------------------------------------

    def _emit(self, views: Tables, outbox: Outbox, durable: Then, whole: Then) -> None:
        """Write to the stores, the changelogs and the topics; then as `FlowProducer.emit`."""
        self.tenure.be_no_ghost()
        changes = self.tables.write(views)
        self._meters.absorb(outbox)
        self._meters.count(metrics.PRODUCED, (self.flow.name,), len(outbox.records))
        self.producer.emit(outbox.records, changes, durable, whole, self.tables.logged)

    def _done(self, spans: Spans) -> None:
        for part, span in spans:
            part.frontier.finish(span)
        self.tenure.progress_at = time.monotonic()

    def _settled(self, results: list[object], durable: Then, whole: Then) -> None:
        """Results of calls: write what follows from them."""
        self._emit(*self._guarded.settle(results), durable, whole)

    def _raised(self, error: BaseException) -> None:
        """A call raised: it counts as a record on which a stage does."""
        log.warning("call_raised", extra={"flow": self.flow.name, "error": type(error).__name__})
        self._meters.count(metrics.CULPRITS, (self.flow.name,))
        self._guarded.culprit(error)

    def check_partitions(self, count: int) -> None:
        """Refuse topics that are missing, or that have not the environment's partition count. Raises TopicsDiffer."""
        names = [*self._topics, *self.tables.log_of.values(), *(topic.name for topic in self.flow.writes)]
        counts = {name: self.producer.partitions(name) for name in names}
        if set(counts.values()) != {count}:
            raise TopicsDiffer.of(counts, count)


def _nothing() -> None:
    """Nobody waits for a batch without calls but the commit."""
