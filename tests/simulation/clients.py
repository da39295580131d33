"""librdkafka's twins: its producer, and its consumer as a restore uses it; what the engine asks of them, no more.

An acknowledgement may come late or, to a killed process, never; of what a killed process had on the wire each
partition's part lands or not, for itself.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError

from flows.engine.fetched import Fetched
from tests.simulation.broker import Broker, Place
from tests.simulation.clockwork import Clockwork
from tests.simulation.weather import Weather

LAST_GASP_S = 0.05
"""How long after a kill a request may still land; a restart takes longer."""
Acked = Callable[[Any, "Message"], None]


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


class Producer:
    """librdkafka's producer: one batch a partition on its way at a time, in order, landed before it is acknowledged."""

    def __init__(self, clockwork: Clockwork, broker: Broker, weather: Weather, linger_s: float) -> None:
        assert clockwork.life is not None, "a process makes its producers"
        self._linger_s = linger_s
        self._clockwork, self._broker, self._weather, self._life = clockwork, broker, weather, clockwork.life
        self._queues: dict[Place, list[tuple[Any, ...]]] = defaultdict(list)
        self._sending: set[Place] = set()
        self._on_wire: dict[Place, list[tuple[Any, ...]]] = {}
        self._acked: deque[tuple[Acked, Message]] = deque()
        self._reports: dict[Place, deque[list[tuple[Acked, Message]]]] = defaultdict(deque)
        self._unreported = 0
        self._life.at_end.append(self._die)

    def __len__(self) -> int:
        return self._unreported

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        on_delivery: Acked | None = None,
        timestamp: int = 0,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        """Queue one record. Raises Killed in the middle of an emission."""
        self._life.point()
        place = self._broker.place(topic, key, partition)
        self._broker.may_write(place, self._life)
        self._queues[place].append((key, value, headers, on_delivery))
        self._unreported += 1
        if place not in self._sending:
            self._sending.add(place)
            self._clockwork.at(self._linger_s, self._send, self._life, place)

    def _send(self, place: Place) -> None:
        self._on_wire[place] = self._queues.pop(place)
        self._clockwork.at(self._weather.wire_s(), self._land, None, place)

    def _land(self, place: Place) -> None:
        batch = self._on_wire.pop(place, None)
        if batch is None:
            return
        reports = self._append(place, batch)
        self._reports[place].append(reports)
        self._clockwork.at(self._weather.ack_s(), self._report, self._life, place)
        if place in self._queues:
            self._clockwork.at(0.0, self._send, self._life, place)
        else:
            self._sending.discard(place)

    def _append(self, place: Place, batch: list[tuple[Any, ...]]) -> list[tuple[Acked, Message]]:
        reports = []
        for key, value, headers, on_delivery in batch:
            offset = self._broker.append(place, key, value, headers)
            reports.append((on_delivery, Message(Fetched(*place, offset, 0, None, None), place, offset)))
        return reports

    def _report(self, place: Place) -> None:
        """An acknowledgement: those of one partition come in order."""
        self._acked.extend(self._reports[place].popleft())

    def poll(self, timeout: float) -> int:
        """Tell what was acknowledged."""
        count = len(self._acked)
        for _ in range(count):
            on_delivery, message = self._acked.popleft()
            self._unreported -= 1
            on_delivery(None, message)
        return count

    def _die(self) -> None:
        """What is queued is gone; what is on the wire lands within a moment or never, each partition for itself."""
        draw = self._clockwork.draw.random
        self._queues.clear()
        wire, self._on_wire = self._on_wire, {}
        for place, batch in wire.items():
            if draw() < 0.5:
                self._clockwork.at(draw() * LAST_GASP_S, self._append, None, place, batch)


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
