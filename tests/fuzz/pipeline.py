"""Every flow of the roster on topics and tables in memory, from what producers write to the last end.

The stages, their order and their dead-letter handlers are the real ones; broker, stores, providers and time are not.
Time stands still until nothing is left to do, and then goes on to when the next record is due.
"""

import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from agents.attempt import Outcome, Work
from agents.provider import Kind, Result, discover
from agents.record import Write, WritePreference
from agents.render import Template
from agents.stage import Outbox
from flows import roster
from flows.engine.flow import Flow
from flows.engine.kafka.fetched import Fetched
from flows.settings import Settings
from schemas import topics
from schemas.errors import Malformed
from schemas.keys import partition_of
from schemas.sealing import KeyRing
from schemas.topics import Topic
from schemas.vocabulary import Reason
from tables import suppressions
from tables.table import DictEntries, Source
from tests.fuzz.hostile import Written

NOW_MS = 1_800_000_000_000
PARTITIONS = 8
RING = KeyRing({1: bytes(range(32))}, bytes(32))
PROVIDERS = discover({
    **{f"CARILLON_TWILIO_{name}": "x1" for name in ("ACCOUNT", "KEY", "SECRET", "FROM")},
    "CARILLON_SENDGRID_KEY": "x1",
    "CARILLON_SENDGRID_FROM": "x@example.org",
})  # fmt: skip
KINDS = (*[Kind.ACCEPTED] * 4, *Kind)
"""What calls come to; most succeed."""
ROUNDS = 400
"""Batches of one case at most: a notification that never ends is a fault as well."""


class Shelf(roster.Means):
    """Means without a server: templates that are drawn, providers that are not called."""

    def __init__(self, found: dict[str, Template | Reason]) -> None:
        self.settings, self.ring, self._found = Settings(partitions=PARTITIONS), RING, found

    @property
    def templates(self) -> Any:
        return SimpleNamespace(warm=lambda: 0, peek=self._peek, failing_s=lambda: 0.0)

    def _peek(self, template_id: str, version: int | None) -> Template | Reason:
        return self._found.get(template_id, Reason.NO_TEMPLATE)

    @property
    def rows(self) -> Any:
        return SimpleNamespace(logs="logs", preferences="preferences")

    def provider(self, channel: str) -> Any:
        return PROVIDERS.get(channel) or SimpleNamespace(name="nobody", window=8)


@dataclass
class Clock:
    """Time as the flows read it."""

    ms: int = NOW_MS

    def time_ns(self) -> int:
        return self.ms * 1_000_000


@dataclass
class Pipeline:
    """One case: what was written to each topic, and what came of it."""

    bodies: dict[str, bytes]
    clock: Clock
    seed: int
    log: dict[str, list[Fetched]] = field(default_factory=lambda: defaultdict(list))
    """Every record, by topic, in the order written."""
    given: list[Written] = field(default_factory=list)
    """What producers wrote."""
    raised: list[str] = field(default_factory=list)
    """Flow, topic and error of each stage or handler that raised."""
    works: list[Work] = field(default_factory=list)
    writes: list[Write | WritePreference] = field(default_factory=list)
    tallies: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)

    def __post_init__(self) -> None:
        means = Shelf({name: self._template(body) for name, body in self.bodies.items()})
        self._flows = [spec.build(means) for spec in roster.FLOWS.values()]
        self._shared = DictEntries()
        self._tables = {flow.name: {table.name: DictEntries() for table in flow.tables} for flow in self._flows}
        for held in self._tables.values():
            if suppressions.TABLE.name in held:
                held[suppressions.TABLE.name] = self._shared
        self._waiting: dict[tuple[str, str], deque[Fetched]] = defaultdict(deque)
        self._due: dict[tuple[str, str], int] = {}
        """When a flow's topic is looked at again, where a stage handed records back."""
        self._draw = random.Random(self.seed)

    def _template(self, body: bytes) -> Template | Reason:
        try:
            return Template.read(body)
        except Malformed as error:
            return error.reason
        except Exception as error:  # whatever else it raises is a finding
            self.raised.append(f"a template: {error!r}")
            return Reason.BAD_TEMPLATE

    def write(self, written: Written) -> None:
        """A producer's record."""
        self.given.append(written)
        home = partition_of(written.key, PARTITIONS) if written.key else 0
        place = (home + 1) % PARTITIONS if written.astray else home
        self._append(written.topic, place, written.key, written.value, written.headers)

    def run(self) -> bool:
        """Work until nothing is left; whether that came to an end."""
        for _ in range(ROUNDS):
            ready = [at for at, records in self._waiting.items() if records and self._due.get(at, 0) <= self.clock.ms]
            if ready:
                self._batch(*ready[0])
                continue
            later = [self._due[at] for at, records in self._waiting.items() if records]
            if not later:
                return True
            self.clock.ms = min(later)
        return False

    def _append(self, topic: str, place: int, key: bytes | None, value: bytes | None, headers: Any) -> None:
        lying = self.log[topic]
        record = Fetched(topic, place, len(lying), self.clock.ms, key, value, headers or ())
        lying.append(record)
        if topic == topics.SUPPRESSIONS.name:
            self._fold(record)
        for flow in self._flows:
            if any(read.name == topic for read in flow.stages):
                self._waiting[flow.name, topic].append(record)

    def _fold(self, record: Fetched) -> None:
        assert suppressions.TABLE.fold is not None
        source = Source(record.key or b"", record.value, record.timestamp, record.partition, PARTITIONS)
        told = suppressions.TABLE.fold.read(source)
        if told is not None:
            key, said = told
            entry = suppressions.TABLE.fold.after(said, self._shared.get(key), RING)
            if entry is not None:
                self._shared[key] = entry

    def _batch(self, name: str, topic: str) -> None:
        flow = next(flow for flow in self._flows if flow.name == name)
        read = next(read for read in flow.stages if read.name == topic)
        batch = list(self._waiting[name, topic])
        self._waiting[name, topic].clear()
        outbox = self._staged(flow, read, batch)
        self._emit(outbox)
        self._outside(flow, outbox.calls)

    def _staged(self, flow: Flow, read: Topic, batch: Sequence[Fetched]) -> Outbox:
        """What a batch comes to; where the stage raises, record by record, as the engine does it."""
        tables = self._tables[flow.name]
        try:
            trial, outbox = {name: DictEntries(held) for name, held in tables.items()}, Outbox()
            later = flow.stages[read](batch, trial, outbox)
        except Exception as error:  # whatever it raises is the finding
            self.raised.append(f"{flow.name} {read.name}: {error!r}")
            whole = Outbox()
            for record in batch if len(batch) > 1 else ():
                whole.add(self._staged(flow, read, [record]))
            if len(batch) == 1:
                self._bury(flow, batch[0], whole)
            return whole
        if later is not None:
            self._due[flow.name, read.name] = later.not_before_ms
            self._waiting[flow.name, read.name].extend(batch[later.index :])
        for name, held in trial.items():
            if tables[name] is not self._shared:
                tables[name] = held
        return outbox

    def _bury(self, flow: Flow, record: Fetched, outbox: Outbox) -> None:
        try:
            flow.bury(record, "ValueError", self._tables[flow.name], outbox)
        except Exception as error:  # as above
            self.raised.append(f"{flow.name} dead-letter handler: {error!r}")

    def buries(self, record: Fetched) -> None:
        """Have every flow that reads the record's topic bury it, apart from the case: no handler may raise."""
        for flow in self._flows:
            if any(read.name == record.topic for read in flow.stages):
                self._bury(flow, record, Outbox())

    def _emit(self, outbox: Outbox) -> None:
        self.tallies |= {(metric.name, labels) for metric, labels in outbox.tally}
        for topic, key, value, partition, headers in outbox.records:
            place = partition if partition >= 0 else partition_of(key or b"", PARTITIONS)
            self._append(topic, place, key, value, headers)

    def _outside(self, flow: Flow, calls: Sequence[object]) -> None:
        results: list[object] = []
        for call in calls:
            if isinstance(call, Work):
                self.works.append(call)
                results.append(Outcome(call, Result(self._draw.choice(KINDS), "nobody", "drawn"), self.clock.ms))
            elif isinstance(call, list):
                self.writes += call
            else:  # a record that is due in less than a tier's time
                self.clock.ms = max(self.clock.ms, getattr(call, "due_ms"))  # noqa: B009 - the two flows' own types
                results.append(call)
        if results and flow.outside is not None:
            outbox = Outbox()
            flow.outside.settle(results, self._tables[flow.name], outbox)
            self._emit(outbox)
