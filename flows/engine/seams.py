"""What the engine touches of Faust's, aiokafka's and mode's private parts, named here and nowhere else.

Faust keeps the app, the agents, the assignor, the group membership and the command line; its client reads no record.
Replaced at its seams:

seam                                             why
-----------------------------------------------  --------------------------------------------------------------------
App._new_transport, Transport.Consumer           our consumer: a member of its group, with our own commits
App._crash                                       a graceful crash commits; ours ends the process
App.BootStrategy, App.TableManager               no Faust producer, no web, no per-event recovery
ConsumerThread._create_worker_consumer           Faust's sticky assignor always; ends without what is not committed
Consumer.on_partitions_revoked / _assigned       handed to the engine whole
Consumer._drain_messages, wait_empty, commit     the engine reads, drains and commits
aiokafka Fetcher._fetch_task, ._subscriptions    it fetches nothing, and is never idle in the eyes of its group
aiokafka Coordinator.check_errors,
  .fetch_committed_offsets                       errors that aiokafka parks are raised; committed offsets in one call
aiokafka Coordinator._do_heartbeat               when the group last answered is known
aiokafka _crecords.default_records.lz4_encode    level 1: its level 9 takes eight times as long and saves a tenth

`tests/flows/engine/test_seams.py` holds one contract test for each. What it uses of aiokafka's modules that are neither
private nor documented (its client, record batches, request headers) is in `kafka/`: `line`, `queued` and
`produce_request`; their tests meet a real broker.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import faust
from aiokafka import TopicPartition
from aiokafka.codec import lz4_encode
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.record._crecords import default_records
from aiokafka.structs import OffsetAndMetadata
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from flows.engine.stop import die
from schemas.errors import LogRecreated

_LOOK_S = 0.2
T = TypeVar("T")
default_records.lz4_encode = partial(lz4_encode, level=1)


class Owner(Protocol):
    """What the engine of a flow gives to its consumer."""

    async def take(self, assigned: set[TP]) -> None:
        """These partitions are ours now."""

    async def release(self) -> None:
        """No partition is ours any more once this returns."""


class Thread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in its own thread and loop: a member of the group that beats, joins and commits."""

    abstract = False
    heard_at = -math.inf
    """Monotonic seconds since which the group surely counts on this member: it answered to a beat of that moment."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        self._assignor = self.app.assignor
        consumer._partition_assignment_strategy = [self._assignor]
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        """Start the client, in the thread's own loop."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        coordinator._do_heartbeat = partial(self._beat, coordinator._do_heartbeat)
        self._membership = self.thread_loop.create_task(self._be_member())
        self._membership.add_done_callback(_ended)

    async def on_thread_stop(self) -> None:
        """Stop looking before the client stops."""
        self._membership.cancel()
        await super().on_thread_stop()

    async def _be_member(self) -> None:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        fetcher._fetch_task.cancel()
        with fetcher._subscriptions.fetch_context():
            while not fetcher._closed:
                consumer._coordinator.check_errors()
                await asyncio.sleep(_LOOK_S)

    async def _beat(self, ask: Callable[[], Awaitable[bool]]) -> bool:
        began = time.monotonic()
        answered = await ask()
        if answered:
            self.heard_at = began
        return answered

    async def ask_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the client's loop and wait for its result."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    async def starts(self, places: Iterable[TP]) -> dict[TP, int]:
        """Where each partition is read from: the committed offset, or else the earliest (runs in the client's loop).

        Raises LogRecreated where the log ends before what was committed.
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
                raise LogRecreated(
                    f"{place.topic}/{place.partition} ends at {ends[place]}, before the committed {offset}: "
                    "the topic was made anew; delete the group's offsets and this worker's folder in CARILLON_STATE"
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


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        die("the membership of a group ended", error)


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
        self.thread.heard_at = time.monotonic()
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
    """No Faust producer and no web server: the engine brings its own producer and its own metrics port."""

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
