"""Everything the engine touches of Faust's, aiokafka's and mode's private parts, named here and nowhere else.

Faust keeps the app, the agents, the assignor, the group membership and the command line. Replaced at its seams:

seam                                             why
-----------------------------------------------  --------------------------------------------------------------------
App._new_transport, Transport.Consumer           our consumer: batches, own positions, own commits
App._crash                                       a graceful crash commits; ours ends the process
App.BootStrategy, App.TableManager               no Faust producer, no web, no per-event recovery
ConsumerThread._create_worker_consumer           Faust's sticky assignor always; nothing of an aborted transaction
Consumer.on_partitions_revoked / _assigned       handed to the engine whole
Consumer._drain_messages, wait_empty, commit     the engine fetches, drains and commits
aiokafka Fetcher.fetched_records, ._subscriptions,
  ._fetch_min_bytes, ._fetch_max_wait_ms         batches straight from the fetcher, gathered by the broker
aiokafka PartitionRecords._consumer_record       a record is seven fields that the collector need not trace
aiokafka Coordinator.check_errors,
  .fetch_committed_offsets                       errors that aiokafka parks are raised; committed offsets in one call

`tests/flows/engine/test_seams.py` holds one contract test for each.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

import faust
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from flows.engine.fetched import fetched
from flows.engine.stop import die
from schemas.errors import EngineBroken

FETCH_RECORDS = 256
"""Records of one hand-over at most: at 20 us each, some 5 ms of the event loop."""

_HAND_OVERS = 4
_POLL_S = 0.2
_IDLE_WAIT_MS = 500

_NOBODY = TopicPartition("", -1)
T = TypeVar("T")
PartitionRecords._consumer_record = fetched


class Owner(Protocol):
    """What the engine of a flow gives to its consumer."""

    fetch_min_bytes: int
    fetch_max_wait_ms: int

    def receive(self, records: Mapping[Any, list[Any]]) -> None:
        """Fetched records, on the event loop."""

    async def take(self, assigned: set[TP]) -> None:
        """These partitions are ours now."""

    async def release(self) -> None:
        """No partition is ours any more once this returns."""


class Thread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in its own thread and loop, pumping whole fetches over to the event loop."""

    abstract = False
    wanted: set[Any]
    handed: int

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        self._assignor = self.app.assignor
        consumer._partition_assignment_strategy = [self._assignor]
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        """Start the client and the pump, in the thread's own loop."""
        await super().on_start()
        self.owner: Owner = cast(Any, self.app).owner
        self.wanted, self.handed = {_NOBODY}, 0
        self._wake = asyncio.Event()
        self._pump_task = self.thread_loop.create_task(self._pump())
        self._pump_task.add_done_callback(_ended)

    async def on_thread_stop(self) -> None:
        """Stop the pump before the client."""
        self._pump_task.cancel()
        await super().on_thread_stop()

    async def _pump(self) -> None:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        loop, rate, since = self.parent_loop, 0, self.thread_loop.time()
        while not fetcher._closed:
            consumer._coordinator.check_errors()
            now = self.thread_loop.time()
            if now - since >= 1.0:
                self._tune(fetcher, rate)
                rate, since = 0, now
            if self.handed >= _HAND_OVERS or len(self.wanted) == 1:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _POLL_S)
                continue
            with fetcher._subscriptions.fetch_context():
                records = await fetcher.fetched_records(self.wanted, timeout=_POLL_S, max_records=FETCH_RECORDS)
            if records:
                rate += sum(map(len, records.values()))
                self.handed += 1
                loop.call_soon_threadsafe(self.owner.receive, records)

    def _tune(self, fetcher: Any, rate: int) -> None:
        """Under load let the broker gather; when quiet let it answer at the first byte."""
        owner = self.owner
        # Records a second, not fetches: a machine without room fetches less often, and must not gather less for it.
        gather = rate * owner.fetch_max_wait_ms > 500
        fetcher._fetch_min_bytes = owner.fetch_min_bytes if gather else 1
        fetcher._fetch_max_wait_ms = owner.fetch_max_wait_ms if gather else _IDLE_WAIT_MS

    def in_thread(self, function: Callable[..., object], *arguments: object) -> None:
        """Run `function` in the client's loop, soon."""
        self.thread_loop.call_soon_threadsafe(function, *arguments)

    async def ask_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the client's loop and wait for its result."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    def want(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Read these partitions from now on (runs in the client's loop)."""
        self.wanted.clear()
        self.wanted.add(_NOBODY)
        self.wanted.update(TopicPartition(*place) for place in wanted)
        self._wake.set()

    def taken(self) -> None:
        """One hand-over was worked off (runs in the client's loop)."""
        self.handed -= 1
        self._wake.set()

    def seek_to(self, topic: str, partition: int, offset: int) -> None:
        """Read on from `offset` (runs in the client's loop); a partition no longer assigned is left alone."""
        consumer = self._ensure_consumer()
        place = TopicPartition(topic, partition)
        if place in consumer.assignment():
            consumer.seek(place, offset)

    async def starts(self, places: Iterable[TP]) -> dict[TP, int]:
        """Where each partition is read from: the committed offset, or else the earliest (runs in the client's loop).

        Raises EngineBroken where the log ends before what was committed.
        """
        consumer = self._ensure_consumer()
        wanted = [TopicPartition(tp.topic, tp.partition) for tp in places]
        committed = await consumer._coordinator.fetch_committed_offsets(wanted)
        earliest, ends = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        found = {}
        for place in wanted:
            known = committed.get(place)
            offset = known.offset if known is not None and known.offset >= 0 else earliest[place]
            if offset > ends[place]:
                raise EngineBroken(
                    f"{place.topic}/{place.partition} ends at {ends[place]}, before the committed {offset}: "
                    "the topic was made anew; delete the consumer group's offsets and the local state of this flow"
                )
            found[TP(place.topic, place.partition)] = offset
        return found

    async def commit_now(self, offsets: Mapping[tuple[str, int], int]) -> bool:
        """Commit; False if it was refused and should be tried again (runs in the client's loop)."""
        consumer = self._ensure_consumer()
        given, held = ((TopicPartition(*place), offset) for place, offset in offsets.items()), consumer.assignment()
        wanted = {place: OffsetAndMetadata(offset, "") for place, offset in given if place in held}
        if not wanted:
            return False
        try:
            await consumer.commit(wanted)
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            if not error.retriable:
                die(f"a commit failed: {type(error).__name__}", error)
            return False
        return True

    def ends(self) -> dict[tuple[str, int], int]:
        """How far each assigned partition can be read, as last seen, where known and not read yet. From any thread.

        One that was read to its end is left out: the last offsets of a log may hold no record (a transaction's marker).
        """
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        found = {}
        for place in assignment.tps:
            state = assignment.state_value(place)
            if state.lso is not None and not (state.has_valid_position and state.position >= state.lso):
                found[place.topic, place.partition] = state.lso
        return found


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        die("the fetch loop ended", error)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, with the engine in place of its per-event path."""

    abstract = False

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> Thread:
        """The client's thread."""
        return cast(Thread, self._thread)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Everything is revoked (the protocol is eager): drain, commit, let go."""
        try:
            await cast(Any, self.app).owner.release()
        except Exception as error:  # aiokafka would log it and go on
            die("partitions could not be let go", error)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take over in the background: the group must not wait for a restore."""
        self.app.flow_control.resume()
        self.app.on_rebalance_return()
        await cast(Any, self.app).owner.take(set(assigned))
        self.app.on_rebalance_end()

    async def _drain_messages(self, fetcher: Any) -> None:
        await fetcher.wait_until_stopped()

    async def wait_empty(self) -> None:
        """Faust's stop: drain and commit."""
        await cast(Any, self.app).owner.release()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """The engine commits its frontier itself."""
        return False

    async def verify_all_partitions_active(self) -> None:
        """The engine's watchdog does this, and acts on it."""


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with our consumer."""

    Consumer = BatchConsumer


class NoTables(TableManager):
    """Faust's table manager without tables: the engine restores its own."""

    abstract = False

    async def on_start(self) -> None:
        """Nothing to recover: let the conductor subscribe at once."""
        self._tables_finalized.set()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        """Nothing was started."""

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Nothing is held here."""

    async def wait_until_recovery_completed(self) -> bool:
        """Nothing to wait for."""
        return False


class Boot(BootStrategy):
    """No Faust producer and no web server: the engine brings librdkafka and its own metrics port."""

    enable_kafka_producer = False
    enable_web = False


class EngineApp(faust.App):
    """A Faust app whose batches, commits and end are the engine's. `owner` is set by the flow's engine."""

    BootStrategy = Boot
    owner: Owner

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _crash(self, reason: BaseException) -> None:
        die("a service of the app crashed", reason)
