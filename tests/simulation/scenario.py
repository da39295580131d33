"""One seed: what is hosted where, what comes in, what goes wrong and when; then it clears up, drains, and is audited.

Real: the flows as their files build them (stages, agents, tables, folds, the writer of rows), and of the engine all of
`engine`, `tenure`, `partition`, `frontier`, `outside`, `tables`, `restore`, `changelog`, `producer`, `queued` and
`line`, and of `seams` the client's thread: its pump, seeks, starts and commits. Simulated: the event loops and threads,
time, the broker, the clients, the group, RocksDB, the provider, the store of rows, and the process with Faust's app
(`worker`).
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import flows.deliver
import flows.record
import flows.retry
import flows.route
from agents.stage import Input, Later, Outbox, Stage, Tables
from flows.engine.flow import Flow
from flows.engine.kafka.fetched import Fetched
from schemas import topics
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tables import suppressions
from tables.table import DictEntries, Fold, Source
from tests.simulation import traffic
from tests.simulation.audit import Audit
from tests.simulation.broker import Broker
from tests.simulation.clockwork import Clockwork, Life
from tests.simulation.group import Group
from tests.simulation.outside import Rows, Shelf, Sms
from tests.simulation.staging import staged
from tests.simulation.state import Disk
from tests.simulation.watch import Watch
from tests.simulation.weather import Weather
from tests.simulation.worker import Worker

CASTS = {"route": 5, "path": 3, "all": 2}
"""What each worker hosts: routing; the waiting rooms and delivery by SMS too; the record flow too."""
KINDS = {"fuse": 4, "kill": 1, "wipe": 1, "term": 1, "stall": 2, "cut": 2, "scale": 1}
FAULTS = (0, 1, 2, 4)
"""How many strike in one seed."""
STALLS_S = (0.5, 4.0, 8.0, 12.0)
"""Some within every session, some past the shorter, some past all."""
CALM_S = 12.0
"""After the last input and before it clears up: faults strike until then."""
DRAIN_S = 150.0


class Scenario:
    """Everything of one seed."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.cast = draw.choices(list(CASTS), list(CASTS.values()))[0]
        self.clockwork = Clockwork(draw)
        self.weather = Weather(draw)
        self.partitions = draw.choice((1, 2, 3))
        self.broker = Broker(self.clockwork, self.partitions, draw.choice((0.0, 0.0, 0.05)))
        self.ring = KeyRing({1: bytes(32)}, bytes(32), randomness=draw.randbytes)
        self.sms = Sms(self.clockwork, self.weather, window=draw.choice((1, 2, 64)))
        self.rows = Rows(self.clockwork, self.weather)
        self.blocked = DictEntries()
        self.people = traffic.people(draw, draw.choice((2, 5)))
        self.groups: dict[str, Group] = {}
        self.workers: list[Worker] = []
        self.story: list[str] = []
        """What happened to the processes, for people."""
        self.faults: list[str] = []
        self.hurt = False
        """Whether a process ended out of order or stood still."""
        self._watch = Watch(self.broker)
        self.broker.heard += [self._hear, self.sms.hear]

    # -- the cast --------------------------------------------------------------------------------------------------

    def flows(self) -> list[Flow]:
        """The flows that a worker hosts, built by their own files."""
        route = flows.route.flow(Lane.HIGH, self.ring, self.partitions)
        hosted = [replace(route, stages={topic: self._cursed(stage) for topic, stage in route.stages.items()})]
        if self.cast != "route":
            provider: Any = self.sms
            shelf: Any = Shelf(self.weather)
            hosted.append(flows.retry.flow(Lane.HIGH, self.ring))
            hosted.append(flows.deliver.flow("sms", Lane.HIGH, provider, shelf, self.ring, self.sms.window))
        if self.cast == "all":
            rows: Any = self.rows
            hosted.append(flows.record.flow(rows, self.ring))
        return hosted

    def _cursed(self, stage: Stage) -> Stage:
        """The stage with a bug, on which it raises, and a need to wait now and then."""

        def cursed(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> Later | None:
            if any(record.value is not None and traffic.CULPRIT.encode() in record.value for record in batch):
                raise ValueError("a bug")
            left = self.draw.randrange(len(batch)) if self.weather.hands_back() else len(batch)
            if left:
                stage(batch[:left], tables, outbox)
            wait_ms = int(self.draw.random() * 300)
            return Later(left, self.clockwork.now_ms() + wait_ms) if left < len(batch) else None

        return cursed

    def disk(self, life: Life) -> Disk:
        """The disk of the worker whose process this is."""
        (worker,) = (worker for worker in self.workers if worker.name == life.name)
        return worker.disk

    def _hear(self, record: Fetched) -> None:
        if record.topic == topics.SUPPRESSIONS.name:
            source = Source(record.key or b"", record.value, record.timestamp, record.partition, self.partitions)
            fold = cast(Fold[Any], suppressions.TABLE.fold)
            if (found := fold.read(source)) is not None:
                key, said = found
                self.blocked[key] = cast(bytes, fold.after(said, self.blocked.get(key), self.ring))

    def _hire(self) -> Worker:
        worker = Worker(
            f"w{len(self.workers)}",
            self.flows,
            self.groups,
            clockwork=self.clockwork,
            broker=self.broker,
            weather=self.weather,
            ring=self.ring,
            replicated={"suppressions": self.blocked},
            tell=self.tell,
        )
        self.workers.append(worker)
        return worker

    def tell(self, what: str) -> None:
        """Add to the story."""
        self.story.append(f"{self.clockwork.now:8.3f} {what}")

    def died(self, life: Life, why: str, error: BaseException | None) -> None:
        """A process ended itself: only one that stood still, or was not heard, may."""
        self.tell(f"{life.name} dies: {why}")
        self.hurt = True
        unheard = life.was_cut and ("was not heard" in why or "do not take what it wrote" in why)
        asked = unheard or (life.stood_still and "stood still" in why)
        if not asked:
            cause = f" ({type(error).__name__}: {error})" if error else ""
            self.faults.append(f"died: {life.name}, {why}{cause}")

    # -- the plot --------------------------------------------------------------------------------------------------

    def play(self) -> list[str]:
        """Play it; returns what was found to be wrong, each as `kind: what`."""
        with staged(self):
            inputs_s = self._begin()
            self._run(inputs_s + CALM_S)
            self.weather.clear_up()
            for worker in self.workers:
                worker.light(0)
            self._drain()
        if not self.faults:
            self.faults += Audit(self.broker, self.people, hurt=self.hurt).faults(
                self.sms if self.cast != "route" else None,
                self.rows if self.cast == "all" else None,
            )
        return self.faults

    def _begin(self) -> float:
        draw, clockwork = self.draw, self.clockwork
        for flow in self.flows():
            self.groups[flow.name] = Group(flow, clockwork, self.broker, self.tell)
        for written in traffic.told(draw, self.people):
            self._write(topics.PREFERENCES.name, written)
        for _ in range(draw.choice((1, 2, 2, 3))):
            clockwork.at(draw.random() * draw.choice((0.1, 3.0)), self._hire().start)
        inputs_s, count = draw.choice((0.5, 4.0, 4.0, 10.0)), draw.choice((8, 20, 40))
        for written in traffic.requests(draw, count, self.people, self.partitions):
            clockwork.at(draw.random() * inputs_s, self._write, None, topics.notifications(Lane.HIGH).name, written)
        for _ in range(draw.choice(FAULTS)):
            kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
            clockwork.at(draw.random() * (inputs_s + CALM_S / 2), self._hurt, None, kind, draw.choice(self.workers))
        return inputs_s

    def _write(self, topic: str, written: traffic.Written) -> None:
        self.broker.append(self.broker.place(topic, written.key, written.partition), written.key, written.value)

    def _hurt(self, kind: str, worker: Worker) -> None:
        draw = self.draw
        self.tell(f"{worker.name}: {kind}")
        self.hurt = self.hurt or kind in ("fuse", "kill", "wipe", "stall", "cut")
        match kind:
            case "fuse":
                worker.light(int(2 ** (draw.random() * 10)))
            case "kill" | "wipe":
                worker.kill(wipe=kind == "wipe")
            case "term":
                worker.terminate()
            case "stall":
                worker.stand_still(draw.choice(STALLS_S))
            case "cut":
                worker.cut_off(draw.choice(STALLS_S))
            case "scale":
                hired = self._hire()
                hired.start()
                if draw.random() < 0.5:
                    self.clockwork.at(draw.random() * 4.0, hired.terminate)

    # -- watching --------------------------------------------------------------------------------------------------

    def _run(self, seconds: float) -> None:
        until = self.clockwork.now + seconds
        while self.clockwork.now < until and not self.faults:
            self.clockwork.run(min(until, self.clockwork.now + 1.0))
            self.faults += [f"died: {what}" for what in self.clockwork.broken] + self.broker.trespasses
            self.faults += self._watch.look(self.clockwork.now, self.workers)

    def _drain(self) -> None:
        limit, calm = self.clockwork.now + DRAIN_S, 0
        while calm < 2 and not self.faults:
            self._run(1.0)
            behind = [group.behind() for group in self.groups.values() if group.behind()]
            calm = 0 if behind else calm + 1
            if behind and self.clockwork.now > limit:
                self.faults.append(f"stuck: not committed to the end after {DRAIN_S:.0f} s (committed, end): {behind}")

    def met(self) -> Counter[str]:
        """What the seed has been through: steps of statuses with their reasons, and what happened below them."""
        found: Counter[str] = Counter()
        seen: Counter[tuple[object, ...]] = Counter()
        for record in self.broker.records(topics.STATUSES.name):
            told = json.loads(record.value or b"")
            found[f"{told['step']} {told.get('reason', '')}".rstrip()] += 1
            seen[told["position"], told["step"], told.get("address_hash"), told.get("attempt")] += 1
        found["told again"] = seen.total() - len(seen)
        found["keyed again"] = sum(1 for _ in self.broker.records(topics.misplaced(Lane.HIGH).name))
        found["a ghost"] = sum("stood still" in line for line in self.story)
        found["gone in the middle"] = sum("fuse" in line for line in self.story)
        found["a refused commit"] = self.weather.refused
        found["a call cut off"] = sum(b'"cut_off"' in (r.value or b"") for r in self.broker.records("notification_dlq"))
        return +found
