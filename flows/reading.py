"""Reads topics from outside every consumer group, from where one likes to the end they have at that moment."""

import time
from collections.abc import Iterable, Iterator, Mapping

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from flows.engine.kafka.consumers import ungrouped
from schemas.errors import Misconfigured, Unreachable

_FETCH = 2_000
_REACH_S, _SILENCE_S = 8.0, 15.0
Place = tuple[str, int]


class Reader:
    """One client for any number of readings. Use it in one thread; `close` it."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._consumer = Consumer(ungrouped(brokers))

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[Place]:
        """Every partition of a topic. Raises Misconfigured where it is missing, Unreachable without Kafka."""
        try:
            found = self._consumer.list_topics(topic, timeout=_REACH_S).topics.get(topic)
        except KafkaException:
            raise Unreachable(f"no broker answers at {self._brokers} (CARILLON_KAFKA)") from None
        if found is None or found.error is not None:
            raise Misconfigured(f"topic {topic} is missing: run `carillon setup`")
        return [(topic, number) for number in sorted(found.partitions)]

    def since(self, places: Iterable[Place], at_ms: int) -> dict[Place, int]:
        """For each place the first offset written at `at_ms` (epoch milliseconds) or later."""
        asked = [TopicPartition(*place, at_ms) for place in places]
        found = self._consumer.offsets_for_times(asked, timeout=_SILENCE_S)
        ends = {place: end for place in places for _, end in [self._bounds(place)]}
        return {(at.topic, at.partition): at.offset if at.offset >= 0 else ends[at.topic, at.partition] for at in found}

    def read(self, places: Iterable[Place], starts: Mapping[Place, int] | None = None) -> Iterator[Message]:
        """Every record of `places` from `starts` (else the first there is) up to the end of now."""
        ends, left = {}, []
        for place in places:
            low, end = self._bounds(place)
            start = max(low, (starts or {}).get(place, low))
            if start < end:
                ends[place] = end
                left.append(TopicPartition(*place, start))
        self._consumer.assign(left)
        heard = time.monotonic()
        while ends:
            messages = self._consumer.consume(_FETCH, 0.1)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_S:
                raise Unreachable(f"no record from {self._brokers} (CARILLON_KAFKA) for {_SILENCE_S:.0f} s")
            for message in messages:
                if message.error() is None and (message.offset() or 0) < ends.get(_place(message), 0):
                    yield message
            self._drop_finished(ends)
        self._consumer.unassign()

    def _bounds(self, place: Place) -> tuple[int, int]:
        low, end = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=_SILENCE_S)
        return low, end

    def _drop_finished(self, ends: dict[Place, int]) -> None:
        # The position also passes what holds no record: compacted gaps, markers of transactions.
        for at in self._consumer.position([TopicPartition(*place) for place in ends]):
            if at.offset >= ends[at.topic, at.partition]:
                del ends[at.topic, at.partition]


def position(message: Message) -> str:
    """Where a record lies, as `topic/partition/offset`."""
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0
