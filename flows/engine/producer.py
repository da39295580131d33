"""librdkafka behind an outbox: idempotent, acks=all; an emission tells when it is durable.

librdkafka sends a request for each partition, so a record that goes alone costs a whole request, here and at the
broker. Records that somebody waits for go soon; those that only the commit waits for linger until there are many.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents.stage import Outgoing
from flows.engine.changelog import pack
from flows.engine.stop import die

_POLL_S = 0.002
_QUEUE_LIMIT = 60_000
"""Records of a line in flight above which agents wait."""

LINGER_MS = 50.0
"""How long records linger that only the commit waits for; a tenth of what lies between two commits."""


Changes = tuple[str, int, Mapping[bytes, bytes | None]]
"""Entries for a changelog: topic, partition, entry by key (at least one)."""

Logged = Callable[[str, int, int], None]
"""(topic, partition, next offset): a changelog is durable up to there."""

Then = Callable[[], None]


class Emission:
    """Records produced together; `then` runs once, when the last of them is acknowledged."""

    __slots__ = ("_logged", "left", "then")

    def __init__(self, left: int, then: Then, logged: Logged) -> None:
        self.left = left
        self.then = then
        self._logged = logged

    def less(self) -> None:
        """One of them is acknowledged."""
        self.left -= 1
        if not self.left:
            self.then()

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


class Line:
    """One librdkafka producer. Delivery reports are polled on the event loop, only while something is in flight."""

    def __init__(self, brokers: str, linger_ms: float, client_id: str) -> None:
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
            }
        )
        self.produce = self._producer.produce
        self._poll = self._producer.poll
        self._poll_s = max(_POLL_S, linger_ms / 5000)
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()

    def serve(self) -> None:
        """Something was produced: poll until all of it is acknowledged."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._poll_s, self._serve)
        if len(self._producer) > _QUEUE_LIMIT:
            self._room.clear()

    def _serve(self) -> None:
        self._poll(0)
        waiting = len(self._producer)
        if waiting < _QUEUE_LIMIT // 2:
            self._room.set()
        self._timer = asyncio.get_running_loop().call_later(self._poll_s, self._serve) if waiting else None

    async def room(self) -> None:
        """Wait until there is room for a batch."""
        if not self._room.is_set():
            await self._room.wait()

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has (0 where it is unknown). Blocks: call it off the loop."""
        found = self._producer.list_topics(topic, timeout=10).topics.get(topic)
        return len(found.partitions) if found is not None and found.error is None else 0


class Lines:
    """The lines of a process: one for each time that records linger, whichever flow they are of."""

    def __init__(self, brokers: str, client_id: str) -> None:
        self._brokers, self._client_id = brokers, client_id
        self._made: dict[float, Line] = {}

    def of(self, linger_ms: float) -> Line:
        """The line whose records linger that long."""
        if linger_ms not in self._made:
            self._made[linger_ms] = Line(self._brokers, linger_ms, self._client_id)
        return self._made[linger_ms]


class FlowProducer:
    """What one flow writes. Records of the topics in `lingering` go by a line of their own."""

    def __init__(self, prompt: Line, patient: Line, lingering: Collection[str]) -> None:
        self._prompt, self._patient = prompt, patient
        self._lingering = frozenset(lingering)
        self.in_flight = 0
        """Emissions not wholly acknowledged."""

    def emit(
        self, records: Sequence[Outgoing], changelogs: Sequence[Changes], durable: Then, whole: Then, logged: Logged
    ) -> None:
        """Write `records` and the entries of `changelogs`.

        `durable` runs when all but what lingers is acknowledged, `whole` after it, when everything is; at once where
        there is nothing to wait for.
        """
        self.in_flight += 1

        def wholly() -> None:
            self.in_flight -= 1
            whole()

        def promptly() -> None:
            durable()
            rest.less()

        # One each for this method, and for what is prompt one of the rest: neither ends before all is produced.
        rest = Emission(2, wholly, logged)
        prompt = Emission(1, promptly, logged)
        lingering, now, later = self._lingering, self._prompt.produce, self._patient.produce
        try:
            for topic, key, value, partition, headers in records:
                produce, emission = (later, rest) if topic in lingering else (now, prompt)
                emission.left += 1
                if headers is None:
                    produce(topic, value, key, partition, emission.acked)
                else:
                    produce(topic, value, key, partition, emission.acked, headers=list(headers))
            for topic, partition, entries in changelogs:
                produce, emission = (later, rest) if topic in lingering else (now, prompt)
                for value in pack(entries):
                    emission.left += 1
                    produce(topic, value, None, partition, emission.logged)
        except (BufferError, KafkaException) as error:
            die(f"librdkafka refused a record: {error}")
        if prompt.left > 1:
            self._prompt.serve()
        if rest.left > 2:
            self._patient.serve()
        prompt.less()
        rest.less()

    async def room(self) -> None:
        """Wait until there is room for a batch."""
        await self._prompt.room()
        await self._patient.room()

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has (0 where it is unknown). Blocks: call it off the loop."""
        return self._prompt.partitions(topic)
