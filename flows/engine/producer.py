"""librdkafka behind an outbox: idempotent, acks=all; an emission tells when everything in it is durable."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents.stage import Outgoing
from flows.engine.changelog import pack
from flows.engine.stop import die

_POLL_S = 0.002
_QUEUE_LIMIT = 60_000
"""Records in flight above which agents wait."""


Changes = tuple[str, int, Mapping[bytes, bytes | None]]
"""Entries for a changelog: topic, partition, entry by key (at least one)."""

Logged = Callable[[str, int, int], None]
"""(topic, partition, next offset): a changelog is durable up to there."""


class Emission:
    """Records produced together; `then` runs once, when the last of them is acknowledged."""

    __slots__ = ("_logged", "left", "then")

    def __init__(self, left: int, then: Callable[[], None], logged: Logged) -> None:
        self.left = left
        self.then = then
        self._logged = logged

    def acked(self, error: KafkaError | None, message: Message) -> None:
        """A delivery report. A record that cannot be written ends the process: nothing behind it may be committed."""
        if error is not None:
            die(f"a record for {message.topic()} was not written: {error.str()}")
        self.left -= 1
        if not self.left:
            self.then()

    def logged(self, error: KafkaError | None, message: Message) -> None:
        """The delivery report of a changelog record: acks of one partition come in order."""
        if error is None:
            self._logged(str(message.topic()), message.partition() or 0, (message.offset() or 0) + 1)
        self.acked(error, message)


class FlowProducer:
    """One flow's producer. Delivery reports are polled on the event loop, only while something is in flight."""

    def __init__(self, brokers: str, linger_ms: float, client_id: str, extra: Mapping[str, Any] | None = None) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "client.id": client_id,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": linger_ms,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "batch.size": 262_144,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 512_000,
                "message.timeout.ms": 120_000,
                "log_level": 3,
                **(extra or {}),
            }
        )
        self._produce = self._producer.produce
        self._poll = self._producer.poll
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.produced = 0

    def emit(
        self,
        records: Sequence[Outgoing],
        changelogs: Sequence[Changes],
        then: Callable[[], None],
        logged: Logged,
    ) -> None:
        """Write `records` and the entries of `changelogs`; `then` runs when all are durable (at once if none)."""
        written = [(topic, partition, list(pack(entries))) for topic, partition, entries in changelogs]
        left = len(records) + sum(len(values) for _, _, values in written)
        if not left:
            then()
            return
        self.produced += left
        emission = Emission(left, then, logged)
        acked, produce = emission.acked, self._produce
        try:
            for topic, key, value, partition, headers in records:
                if headers is None:
                    produce(topic, value, key, partition, acked)
                else:
                    produce(topic, value, key, partition, acked, headers=list(headers))
            for topic, partition, values in written:
                for value in values:
                    produce(topic, value, None, partition, emission.logged)
        except (BufferError, KafkaException) as error:
            die(f"librdkafka refused a record: {error}")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_POLL_S, self._serve)
        if len(self._producer) > _QUEUE_LIMIT:
            self._room.clear()

    def _serve(self) -> None:
        self._poll(0)
        waiting = len(self._producer)
        if waiting < _QUEUE_LIMIT // 2:
            self._room.set()
        self._timer = asyncio.get_running_loop().call_later(_POLL_S, self._serve) if waiting else None

    async def room(self) -> None:
        """Wait until there is room for a batch."""
        if not self._room.is_set():
            await self._room.wait()

    @property
    def in_flight(self) -> int:
        """Records not yet acknowledged."""
        return len(self._producer)

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has (0 where it is unknown). Blocks: call it off the loop."""
        found = self._producer.list_topics(topic, timeout=10).topics.get(topic)
        return len(found.partitions) if found is not None and found.error is None else 0
