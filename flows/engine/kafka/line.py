"""An idempotent producer on the event loop, on aiokafka's connections: acks=all, one request to each broker at a time.

Everything that waits for a broker goes in one request, whatever its partitions. librdkafka sends a request for each
partition: with a few records each, that is most of what a record costs, here and at the broker. A queue is in one place
at a time, with the courier of its leader or astray, and one batch of it on its way: nothing overtakes anything.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import DuplicateSequenceNumber, KafkaError, NoError, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition

from agents.stage import Headers
from flows.engine.kafka.produce_request import Answer, ProduceRequest
from flows.engine.kafka.queued import WEIGHT, Batch, Emission, Queue
from flows.engine.stop import die
from schemas.errors import Unreachable
from schemas.keys import murmur2

REQUEST_BYTES = 1_000_000
"""Batches that go together, unless one alone is larger."""
WRITTEN_S = 120.0
"""A record that no broker has taken by then ends the process."""
_QUEUE_LIMIT = 60_000 * WEIGHT
"""Weight of what a line has in flight above which agents wait: some 60,000 records, or 250 MB."""
_ANSWER_MS = 15_000
"""After so long without an answer a connection is made anew: longer than a broker waits for its replicas."""
_BACKOFF_S = 0.1
_START_S = 10.0

Placed = tuple[tuple[str, int], bytes | None, bytes | None, Headers]
"""A record and where it goes: topic and partition, key, value, headers."""

Guards = Sequence[Callable[[], bool]]
"""Asked before each request, which waits until all agree; they end a process that may write no more."""


class Courier:
    """Takes to one broker what waits for it, all at once."""

    def __init__(self, line: "Line", node: int, linger_s: float) -> None:
        self._line, self._node, self._linger_s = line, node, linger_s
        self._waiting: dict[Queue, None] = {}
        self._due = 0.0
        self._wake = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(_for_ever(self._run))

    def take(self, queue: Queue) -> None:
        """This broker leads the partition."""
        due = queue.began + self._linger_s
        if not self._waiting or due < self._due:
            self._due = due
        self._waiting[queue] = None
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            while self._waiting:
                if self._due > loop.time():
                    await asyncio.sleep(self._due - loop.time())
                await self._line.send(self._node, self._load())
            self._wake.clear()

    def _load(self) -> list[tuple[Queue, Batch]]:
        """What goes next: all that waits, as far as one request holds it."""
        loaded: list[tuple[Queue, Batch]] = []
        size = 0
        for queue in self._waiting:
            batch = self._line.next_batch(queue)
            size += len(batch.data)
            if loaded and size > REQUEST_BYTES:
                break
            loaded.append((queue, batch))
        for queue, _ in loaded:
            del self._waiting[queue]
        return loaded


class Line:
    """One producer, with a producer id and connections of its own. Start it before anything is produced."""

    def __init__(self, brokers: str, linger_ms: float, client_id: str, guards: Guards = ()) -> None:
        self._brokers, self._linger_s, self._client_id, self._guards = brokers, linger_ms / 1000, client_id, guards
        self._producer_id = self._epoch = -1
        self._counts: dict[str, int] = {}
        self._chosen: tuple[bytes, int, int] = b"", 0, 0
        """The last key, count and partition: the records of a notification follow one another."""
        self._queues: dict[tuple[str, int], Queue] = {}
        self._couriers: dict[int, Courier] = {}
        self._astray: list[Queue] = []
        self._weight = 0
        self._room = asyncio.Event()
        self._room.set()

    async def start(self) -> None:
        """Connect and get a producer id. Raises Unreachable if no broker gives one within 10 s."""
        self._client = AIOKafkaClient(
            bootstrap_servers=self._brokers, client_id=self._client_id, request_timeout_ms=_ANSWER_MS
        )
        self._tending = asyncio.get_running_loop().create_task(_for_ever(self._tend))
        try:
            async with asyncio.timeout(_START_S):
                while not await self._introduced():
                    await asyncio.sleep(_BACKOFF_S)
        except TimeoutError as error:
            await self.stop()
            raise Unreachable(f"no Kafka broker at {self._brokers} takes a producer") from error

    async def _introduced(self) -> bool:
        """Whether the brokers know us and we them. Raises KafkaError where it is no use to try again."""
        client = self._client
        try:
            if not client.cluster.brokers():
                await client.bootstrap()
            if not await client.force_metadata_update():
                return False
            answer = await client.send(client.get_random_node(), InitProducerIdRequest(None, _ANSWER_MS))
            if answer.error_code:
                raise for_code(answer.error_code)
        except KafkaError as error:
            if not error.retriable:
                raise
            return False
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
        return True

    async def stop(self) -> None:
        """Close the connections; what is not acknowledged by now may be written or not."""
        tasks = [self._tending, *(courier.task for courier in self._couriers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    # -- taking in -------------------------------------------------------------------------------------------------

    def produce(self, records: Iterable[Placed], emission: Emission, *, logged: bool = False) -> None:
        """Queue records as part of `emission`; `logged` says that they are a changelog's."""
        queues, weight = self._queues, self._weight
        for place, key, value, headers in records:
            queue = queues.get(place)
            if queue is None:
                queue = queues[place] = Queue(*place)
            queue.add((key, value, headers, emission, logged))
            weight += WEIGHT + len(value or b"")
            if not queue.moving:
                self._see_to(queue)
        self._weight = weight
        if weight > _QUEUE_LIMIT:
            self._room.clear()

    def choose(self, topic: str, key: bytes | None) -> int:
        """The partition of a key, or one by chance where there is none."""
        count = self._counts.get(topic) or self.partitions(topic)
        if not count:
            die(f"a record for {topic} was not written: there is no such topic, see `carillon topics plan`")
        if key is None:
            return random.randrange(count)  # noqa: S311 - it spreads records
        before, of, partition = self._chosen
        if key != before or count != of:
            partition = murmur2(None, key, len(key), count, None, None)
            self._chosen = key, count, partition
        return partition

    async def room(self) -> None:
        """Wait until there is room for a batch."""
        if not self._room.is_set():
            await self._room.wait()

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` had when first asked for (0 where it is unknown): keys stay where they are."""
        if topic not in self._counts:
            found = self._client.cluster.partitions_for_topic(topic)
            if not found:
                return 0
            self._counts[topic] = len(found)
        return self._counts[topic]

    # -- sending ---------------------------------------------------------------------------------------------------

    def next_batch(self, queue: Queue) -> Batch:
        """What is to be sent of `queue` next."""
        return queue.next_batch(self._producer_id, self._epoch)

    async def send(self, node: int, loaded: Sequence[tuple[Queue, Batch]]) -> None:
        """Send batches to a broker, and see to what follows from its answer."""
        while not all([guard() for guard in self._guards]):
            await asyncio.sleep(_BACKOFF_S)
        under_way = {(queue.topic, queue.number): queue for queue, _ in loaded}
        request = ProduceRequest((queue.topic, queue.number, batch.data) for queue, batch in loaded)
        answers: list[Answer] = []
        try:
            answers = await self._client.send(node, request)
        except KafkaError as error:
            if not error.retriable:
                die(f"a record for {request.parts[0][0]} was not written: {type(error).__name__}", error)
        for answer in answers:
            if self._is_written(answer):
                self._acked(under_way.pop((answer.topic, answer.partition)), answer)
        self._astray += under_way.values()

    def _is_written(self, answer: Answer) -> bool:
        """Whether the batch is in the log, or else to be sent again. What can never be written ends the process."""
        error = for_code(answer.code)
        if error in (NoError, DuplicateSequenceNumber):
            return True
        if not error.retriable:
            die(f"a record for {answer.topic} was not written: {error.__name__}, Kafka's error {answer.code}")
        return False

    def _acked(self, queue: Queue, answer: Answer) -> None:
        # A broker that knows no more than that it has the batch gives no offset.
        self._weight -= queue.acked(answer.offset if answer.code == 0 else None)
        if self._weight < _QUEUE_LIMIT // 2:
            self._room.set()
        queue.moving = False
        if queue:
            self._see_to(queue)

    def _see_to(self, queue: Queue) -> None:
        """Hand it to the courier of its leader."""
        queue.moving = True
        leader = self._client.cluster.leader_for_partition(TopicPartition(queue.topic, queue.number))
        if leader is None or leader < 0:
            self._astray.append(queue)
            return
        if leader not in self._couriers:
            self._couriers[leader] = Courier(self, leader, self._linger_s)
        self._couriers[leader].take(queue)

    async def _tend(self) -> None:
        """Find the leaders of what is astray, and see that nothing waits for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_BACKOFF_S)
            if self._astray:
                await asyncio.wait([self._client.force_metadata_update()], timeout=1.0)
                astray, self._astray = self._astray, []
                for queue in astray:
                    self._see_to(queue)
            for queue in self._queues.values():
                if loop.time() - queue.began > WRITTEN_S:
                    die(f"a record for {queue.topic} was not written within {WRITTEN_S:.0f} s: do the brokers answer?")


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception as error:  # a bug, here or in what was told of an acknowledgement
        die("what was written cannot be followed any more", error)
