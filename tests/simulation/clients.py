"""The clients' twins: aiokafka's under a line, and librdkafka's consumer as a restore uses it; what the engine asks of
them, no more.
"""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError, NotLeaderForPartitionError
from aiokafka.record.default_records import DefaultRecordBatch
from confluent_kafka import KafkaError

from flows.engine.kafka import line
from flows.engine.kafka.fetched import Fetched
from flows.engine.kafka.produce_request import Answer, Part, ProduceRequest
from flows.engine.kafka.queued import Emission
from tests.simulation.broker import Broker, Place
from tests.simulation.clockwork import Clockwork
from tests.simulation.weather import Weather

LAST_GASP_S = 0.05
"""How long after a kill a request may still land; a restart takes longer."""
CUT_ANSWER_S = 1.0
"""How soon a request of a process that is cut off is given up."""


class Message:
    """A record as librdkafka hands it over, or the news that a partition is read to its end."""

    def __init__(self, record: Fetched | None, place: Place, offset: int) -> None:
        self._record, self.place, self._offset = record, place, offset

    def error(self) -> "EndOfPartition | None":
        return None if self._record is not None else EndOfPartition()

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._record.key if self._record else None

    def value(self) -> bytes | None:
        return self._record.value if self._record else None

    def timestamp(self) -> tuple[int, int]:
        return 1, self._record.timestamp if self._record else 0

    def headers(self) -> list[tuple[str, bytes]] | None:
        return list(self._record.headers) or None if self._record else None


class EndOfPartition:
    """The error that is none."""

    def code(self) -> int:
        return int(KafkaError._PARTITION_EOF)

    def retriable(self) -> bool:
        return False


class Line(line.Line):
    """The engine's own producer, in whose emissions a process may be killed, and whose writes are looked at."""

    def __init__(self, clockwork: Clockwork, broker: Broker, *settings: Any) -> None:
        super().__init__(*settings)
        assert clockwork.life is not None, "a process makes its lines"
        self._life, self._broker = clockwork.life, broker

    def produce(self, records: Iterable[line.Placed], emission: Emission, *, logged: bool = False) -> None:
        """Raises Killed in the middle of an emission."""
        for record in records:
            self._life.point()
            if not self._life.was_cut:  # it cannot know: what it queues must not go
                self._broker.may_write(record[0], self._life)
            super().produce([record], emission, logged=logged)


class Client:
    """aiokafka's client as a line uses it, its cluster included: two brokers, each the leader of every other partition.

    An answer may be late or, where the connection breaks, never come: the records may be written or not, each
    partition's for itself, and so are those that a killed process has on the wire.
    """

    def __init__(self, clockwork: Clockwork, broker: Broker, weather: Weather) -> None:
        assert clockwork.life is not None, "a process makes its clients"
        self._clockwork, self._broker, self._weather, self._life = clockwork, broker, weather, clockwork.life
        self._on_wire: dict[int, tuple[Sequence[Part], asyncio.Future[Any]]] = {}
        self._sent = itertools.count()
        self.cluster = self
        self._life.at_end.append(self._die)

    def brokers(self) -> range:
        return range(2)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._broker.partitions))

    def leader_for_partition(self, place: Any) -> int:
        return int(place.partition) % 2

    def get_random_node(self) -> int:
        return 0

    def force_metadata_update(self) -> "asyncio.Future[bool]":
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._clockwork.at(self._weather.wire_s(), self._tell, self._life, future, True)
        return future

    async def send(self, node: int, request: Any) -> Any:
        """Raises KafkaConnectionError where the answer is lost."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if isinstance(request, ProduceRequest):
            assert {number % 2 for _, number, _ in request.parts} == {node}, "only a leader takes records"
            if self._life.cut_at is not None:
                self._clockwork.at(CUT_ANSWER_S, self._tell, self._life, future, None)
                return await future
            for topic, number, _ in request.parts:
                self._broker.may_write((topic, number), self._life)
            sent = next(self._sent)
            self._on_wire[sent] = request.parts, future
            self._clockwork.at(self._weather.wire_s(), self._land, None, sent)
        else:
            made = SimpleNamespace(error_code=0, producer_id=self._broker.new_producer(), producer_epoch=0)
            self._clockwork.at(self._weather.wire_s(), self._tell, self._life, future, made)
        return await future

    def _land(self, sent: int) -> None:
        parts, future = self._on_wire.pop(sent, ((), None))
        if future is None:
            return
        lost = self._weather.breaks()
        answers = [self._write(part) for part in parts if not lost or self._clockwork.draw.random() < 0.5]
        self._clockwork.at(self._weather.ack_s(), self._tell, self._life, future, None if lost else answers)

    def _write(self, part: Part) -> Answer:
        topic, number, data = part
        if self._weather.moves():
            return Answer(topic, number, NotLeaderForPartitionError.errno, -1)
        batch: Any = DefaultRecordBatch(data)
        records = [(record.key, record.value, record.headers) for record in batch]
        code, offset = self._broker.take((topic, number), batch.producer_id, batch.base_sequence, records)
        return Answer(topic, number, code, offset)

    def _tell(self, future: "asyncio.Future[Any]", found: Any) -> None:
        if future.done():
            return
        if found is None:
            future.set_exception(KafkaConnectionError())
        else:
            future.set_result(found)

    async def close(self) -> None:
        """Nothing is held."""

    def _die(self) -> None:
        """What is on the wire lands within a moment or never, each partition for itself."""
        draw = self._clockwork.draw.random
        wire, self._on_wire = self._on_wire, {}
        for parts, _ in wire.values():
            for part in parts:
                if draw() < 0.5:
                    self._clockwork.at(draw() * LAST_GASP_S, self._write, None, part)


class LogReader:
    """librdkafka's consumer, outside any group, as a restore uses it: it blocks while the world goes on."""

    def __init__(self, clockwork: Clockwork, broker: Broker, weather: Weather) -> None:
        self._clockwork, self._broker, self._weather = clockwork, broker, weather
        self._at: dict[Place, int] = {}
        self._told: set[Place] = set()

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return 0, self._broker.logs[place.topic, place.partition].end

    def list_topics(self, topic: str, timeout: float) -> Any:
        """What a cluster says of a topic: how many partitions it has."""
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=range(self._broker.partitions))})

    def assign(self, places: Iterable[Any]) -> None:
        self._at = {(place.topic, place.partition): place.offset for place in places}

    def consume(self, count: int, timeout: float) -> list[Message]:
        """A few records of every partition, or the news of its end."""
        self._clockwork.pass_time(self._weather.restore_s())
        found: list[Message] = []
        for place, at in self._at.items():
            log = self._broker.logs[place]
            records = log.read(at, self._weather.restore_records())
            found += [Message(record, place, record.offset) for record in records]
            if records:
                self._at[place] = records[-1].offset + 1
            elif place not in self._told:
                self._told.add(place)
                found.append(Message(None, place, log.end))
        return found

    def close(self) -> None:
        """Nothing is held."""
