"""What a flow owns: partitions taken over with their tables restored, committed as they are done, drained and let go.

Every assignment makes new partition objects and seeks each partition explicitly: without a committed offset a client
would read on from where it had read before, past what was never worked.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from faust.types import TP

from flows.engine.flow import Flow
from flows.engine.kafka.reader import Reader
from flows.engine.meters import Meters
from flows.engine.outside import Calls
from flows.engine.partition import Partition
from flows.engine.producer import FlowProducer
from flows.engine.seams import Thread
from flows.engine.state.restore import Log, restore
from flows.engine.state.tables import FlowTables
from flows.engine.stop import die
from schemas import metrics
from schemas.sealing import KeyRing
from tables.table import Kind

COMMIT_S = 0.5
HEARTBEAT_S = 1.0
ANSWERED_S = 20.0
"""How long brokers may take to answer for the last records of partitions that are given up: less than a rebalance
may take, after which the group goes on without this member."""
_LOOK_S = 0.005

log = logging.getLogger("carillon.engine")


class Tenure:
    """The partitions of one flow in this process. `thread` gives the group client's thread once there is one."""

    def __init__(
        self,
        flow: Flow,
        tables: FlowTables,
        producer: FlowProducer,
        reader: Reader,
        calls: Calls | None,
        thread: Callable[[], Thread],
        *,
        brokers: str,
        ring: KeyRing,
        meters: Meters,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._flow, self._tables, self._thread = flow, tables, thread
        self._producer, self._reader, self._calls = producer, reader, calls
        self._brokers, self._ring, self._meters, self._pool = brokers, ring, meters, pool
        self.parts: dict[tuple[str, int], Partition] = {}
        self.ready = False
        self.progress_at = time.monotonic()
        self._generation = 0
        self._taking: asyncio.Task[None] | None = None
        self._letting_go = asyncio.Lock()
        self._committing: asyncio.Task[None] | None = None
        self._ending = False
        self._beat_at = math.inf
        """Monotonic seconds of the last beat. Before the first nothing can have been taken."""
        self._held_up = False

    def beat(self) -> None:
        """The loop is alive: called twice a second. Also tells of a group that does not answer."""
        held_up = not self.may_act()
        self._beat_at = time.monotonic()
        unheard_s = self._unheard_s() if self.parts else 0.0
        self._meters.set(metrics.UNHEARD, (self._flow.name,), unheard_s)
        if held_up and not self._held_up:
            log.warning("group_silent", extra={"flow": self._flow.name, "seconds": round(unheard_s, 1)})
        elif self._held_up and not held_up:
            log.info("group_answers", extra={"flow": self._flow.name})
        self._held_up = held_up

    def be_no_ghost(self) -> None:
        """End a process that stood still (SIGSTOP, a frozen machine) for longer than its group waits for it.

        Its partitions have another owner by now, and nobody has told it yet: whatever it wrote or called from here on
        would be done twice. Asked before every side effect, since work that was queued runs before the next beat.
        """
        still_s = time.monotonic() - self._beat_at
        if still_s > self._surely_ours_s:
            self._die_disowned(f"stood still for {still_s:.1f} s")

    def may_act(self) -> bool:
        """Whether what is held is surely not another's: asked before every record that is sent and every call.

        A group that does not answer may have given it away, where it is only the way there that is broken. What waits
        goes on once it answers; if it has gone on without this member, `release` ends the process.
        """
        self.be_no_ghost()
        return not (self.parts or self._letting_go.locked()) or self._unheard_s() <= self._surely_ours_s

    def silent_s(self) -> float:
        """Seconds since its group last answered, of a flow that has joined it; else 0."""
        return self._unheard_s() if self.ready else 0.0

    def _unheard_s(self) -> float:
        return time.monotonic() - self._thread().heard_at

    @property
    def _surely_ours_s(self) -> float:
        """How long after a sign of life nobody else can have been given what is held."""
        return self._flow.session_s - HEARTBEAT_S

    def _die_disowned(self, why: str) -> NoReturn:
        die(f"{self._flow.name} {why}: its partitions may have another owner")

    def holds(self, part: Partition) -> bool:
        """Whether `part` may have side effects now."""
        return self.parts.get((part.topic, part.number)) is part

    def follow(self, *parts: Partition) -> None:
        """Have these partitions read from their next offsets on, whatever was read before; or, just now, not at all."""
        held = {(part.topic, part.number): part for part in parts if self.holds(part)}
        self._reader.leave(place for place, part in held.items() if not part.reading)
        self._reader.read({place: part.next for place, part in held.items() if part.reading})

    # -- taking over -----------------------------------------------------------------------------------------------

    def take(self, assigned: set[TP]) -> None:
        """Partitions are ours: restore their tables and read on, in the background."""
        if self._ending:
            return
        self._generation += 1
        loop = asyncio.get_running_loop()
        self._taking = loop.create_task(self._take(assigned, self._generation))
        if self._committing is None:
            self._committing = loop.create_task(self._commit_for_ever())

    async def _take(self, assigned: set[TP], generation: int) -> None:
        try:
            thread = self._thread()
            starts = await thread.ask_thread(thread.starts(assigned))
            numbers = {place.partition for place in assigned}
            if not await self._on_pool(lambda: self._restore(numbers, generation)) or generation != self._generation:
                return
            for place, offset in starts.items():
                self.parts[place.topic, place.partition] = Partition(place.topic, place.partition, offset)
            self.follow(*self.parts.values())
            self.ready = True
            self.progress_at = time.monotonic()
            log.info("flow_ready", extra={"flow": self._flow.name, "partitions": len(assigned)})
        except Exception as error:  # a flow without its tables must not run
            die(f"{self._flow.name} could not take its partitions over", error)

    def _restore(self, numbers: set[int], generation: int) -> bool:
        """Open and restore the stores of these partitions (in a thread). False if the assignment changed meanwhile."""
        self._tables.hold(numbers)
        logs = []
        for number in sorted(numbers):
            for name, spec in self._tables.specs.items():
                fold = spec.fold if spec.kind is Kind.SOURCE_BACKED else None
                logs.append(Log(self._tables.log_of[name], number, self._tables.store(name), fold))

        def progress(left: int) -> None:
            self.progress_at = time.monotonic()
            self._meters.set(metrics.RESTORE_LEFT, (self._flow.name,), left)

        def restored(topic: str, entries: int) -> None:
            self._meters.count(metrics.RESTORED, (self._flow.name, self._tables.of_log[topic]), entries)

        if not restore(self._brokers, logs, self._ring, progress, restored, lambda: generation != self._generation):
            return False
        for found in logs:
            self._tables.restored(found.topic, found.partition, found.at)
        self._reader.know(topic.name for topic in self._flow.stages)
        return True

    # -- committing ------------------------------------------------------------------------------------------------

    async def _commit_for_ever(self) -> None:
        try:
            while True:
                await asyncio.sleep(COMMIT_S)
                await self._commit(list(self.parts.values()))
                if self.ready:
                    self._tables.persist()
                    self._measure()
                    await self._on_pool(self._tables.turn)
        except Exception as error:  # commits that stop unseen are a silent stall
            die(f"commits of {self._flow.name} stopped", error)

    async def _commit(self, parts: list[Partition]) -> None:
        """Commit each frontier that moved; what is refused is tried again at the next turn."""
        moved = {(p.topic, p.number): p.frontier.position for p in parts if p.frontier.position > p.frontier.committed}
        thread = self._thread()
        if not moved:
            return
        if await thread.ask_thread(thread.commit_now(moved)):
            for part in parts:
                part.frontier.committed = max(part.frontier.committed, moved.get((part.topic, part.number), 0))

    # -- letting go ------------------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Everything is revoked: start nothing, drain what is under way, commit, and own nothing any more.

        A rebalance that comes while the process is ending waits for the same drain.
        """
        self.ready = False
        self._generation += 1
        async with self._letting_go:
            if self._taking is not None:
                await asyncio.wait({self._taking})
                self._taking = None
            held, self.parts = list(self.parts.values()), {}
            if held:
                if not self.may_act():
                    self._die_disowned(f"was not heard by its group for {self._unheard_s():.1f} s")
                await self._let_go(held)

    async def end(self) -> None:
        """Let go for good: what the group assigns while the process leaves it is not taken."""
        self._ending = True
        await self.release()

    async def _let_go(self, held: list[Partition]) -> None:
        for part in held:
            part.closing = True
        self._reader.leave((part.topic, part.number) for part in held)
        if self._calls is not None:
            await self._calls.drain(time.monotonic() + self._flow.waits.drain_s)
        await self._nothing_unwritten()
        for part in held:
            part.lost = True
        await self._commit(held)
        await self._on_pool(self._tables.persist)

    async def _nothing_unwritten(self) -> None:
        """Wait until the broker has answered for every record: one that lands later lands behind the next owner's.

        The answer for an announcement may be followed by the results of calls that were not begun.
        """
        deadline = time.monotonic() + ANSWERED_S
        while self._producer.in_flight or (self._calls is not None and self._calls.settling):
            if time.monotonic() > deadline:
                die(f"{self._flow.name} gives partitions up, and the brokers do not take what it wrote to them")
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Commit no more and close the stores."""
        if self._committing is not None:
            self._committing.cancel()
        await self._on_pool(self._tables.close)

    async def _on_pool(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # -- being watched ---------------------------------------------------------------------------------------------

    def lag(self) -> Mapping[str, int]:
        """Records between the frontier and the log's end, by topic, as far as ends are known."""
        lags = dict.fromkeys((topic.name for topic in self._flow.stages), 0)
        for part in list(self.parts.values()):
            lags[part.topic] += self._behind(part)
        return lags

    def _behind(self, part: Partition) -> int:
        end = self._reader.end((part.topic, part.number))
        return max(0, (part.next if end is None else end) - part.frontier.position)

    @property
    def waiting(self) -> bool:
        """Whether every partition that lags was handed back on purpose, or waits for calls that have their own end."""
        behind = [part for part in list(self.parts.values()) if self._behind(part)]
        return all(p.resume_at is not None for p in behind) or bool(self._calls and self._calls.in_flight)

    def _measure(self) -> None:
        name, set_ = self._flow.name, self._meters.set
        oldest = [at for part in self.parts.values() if (at := part.frontier.waiting_since()) is not None]
        set_(metrics.FRONTIER_AGE, (name,), time.monotonic() - min(oldest) if oldest else 0.0)
        for topic, lag in self.lag().items():
            set_(metrics.LAG, (name, topic), lag)
        for table, entries in self._tables.entries().items():
            set_(metrics.TABLE_ENTRIES, (name, table), entries)
        if self._calls is not None:
            set_(metrics.IN_FLIGHT, (name,), self._calls.in_flight)
