"""What a process reads: librdkafka consumers outside any group, told each partition and where to begin in it.

A topic that brings many records is read where the broker lets them gather; one that brings few where the first is
answered at once, and where nothing is asked for often while nothing comes. What tables are folded from is read apart:
a hundred thousand people that are imported hold nothing else up. A client looks once a second for where a topic lies
that it does not know; so it is told of one before it is to read it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from agents.stage import Input
from flows.engine.kafka.consumers import logged
from flows.engine.kafka.fetched import Fetched, fetched
from flows.engine.stop import die

FETCH_RECORDS = 256
"""Records of one hand-over at most: at 20 us each, some 5 ms of the event loop."""
SOURCE_RECORDS = 64
"""The same of what tables are folded from, which takes up to 100 us each: addresses are sealed and written again."""

_POLLS_A_WAIT = 5
"""What gathered is looked for so often in the time that fetches wait."""
_QUIET_POLL_S = 0.010
_SOURCE_POLL_S = 0.050
"""Nobody waits for what tables are folded from as one does for a message."""
_TUNE_S = 1.0
_KNOWN_S = 1.0
"""How long brokers may take to say where a topic lies."""
_GATHER_BYTES = 1_000_000
_ANSWER_MS = 100
"""How long a fetch stands open where records are few. A partition that is read anew waits for its end."""

Place = tuple[str, int]
"""Topic and partition."""


class Owner(Protocol):
    """Whose records a reader brings."""

    def receive(self, records: Mapping[Place, Sequence[Input]]) -> None:
        """Fetched records, in order within a partition."""

    def read_anew(self, topic: str) -> None:
        """Ask again for every partition of `topic`: it is read by another consumer from now on."""


class Reader:
    """Three consumers and the topics of the flows that share them. All of it but `know` runs on the event loop."""

    def __init__(self, settings: Mapping[str, Any], wait_ms: int) -> None:
        self._wait_ms = wait_ms
        gather = {"fetch.wait.max.ms": wait_ms, "fetch.min.bytes": _GATHER_BYTES}
        answer = {"fetch.wait.max.ms": _ANSWER_MS, "fetch.min.bytes": 1}
        self.consumers = tuple(Consumer({**settings, **waits}) for waits in (answer, gather, answer))
        self._answering, self._gathering, self._sourcing = self.consumers
        self._sources: set[str] = set()
        self._owners: dict[str, Owner] = {}
        self._read_by: dict[Place, Consumer] = {}
        self._gathered: set[str] = set()
        self._came: Counter[str] = Counter()
        """Records by topic since the last look."""
        self._at_end: set[Place] = set()
        self._ends: dict[Place, int] = {}
        """How far partitions that are not read just now could be read when they were left."""
        self._timers: dict[Consumer, asyncio.Handle] = {}
        self._tuning: asyncio.Handle | None = None
        self._introduced: set[str] = set()
        """Topics that the other consumer of the two was told of, so that they may move to it a second later."""

    def serves(self, topics: Iterable[str]) -> bool:
        """Whether one of these topics is read here."""
        return not self._owners.keys().isdisjoint(topics)

    def own(self, topics: Iterable[str], owner: Owner, sources: Iterable[str] = ()) -> None:
        """Records of these topics go to `owner`; tables are folded from those of `sources`."""
        self._owners.update(dict.fromkeys(topics, owner))
        self._sources.update(sources)

    def know(self, topics: Iterable[str]) -> None:
        """Have the consumers that are to read these topics know where they lie. Blocks: call it off the loop.

        The consumers bring nothing meanwhile, so brokers that do not answer are not waited for: what is to be read is
        then found a little later.
        """
        with suppress(KafkaException):
            for topic in topics:
                self._consumer(topic).list_topics(topic, timeout=_KNOWN_S)

    def read(self, offsets: Mapping[Place, int]) -> None:
        """Read each of these partitions from its offset on, wherever it was read before."""
        self.leave(offsets)
        for consumer in self.consumers:
            places = [place for place in offsets if self._consumer(place[0]) is consumer]
            if places:
                consumer.incremental_assign([TopicPartition(*place, offsets[place]) for place in places])
                self._read_by.update(dict.fromkeys(places, consumer))

    def leave(self, places: Iterable[Place]) -> None:
        """Read these partitions no more."""
        left = [place for place in places if place in self._read_by]
        self._ends.update((place, end) for place in left if (end := self.end(place)) is not None)
        for consumer in self.consumers:
            of_it = [TopicPartition(*place) for place in left if self._read_by[place] is consumer]
            if of_it:
                consumer.incremental_unassign(of_it)
        for place in left:
            del self._read_by[place]
        self._at_end.difference_update(left)

    def end(self, place: Place) -> int | None:
        """How far a partition can be read, as last seen; None where that is not known, or where it was read to its end.

        The last offsets of a log may hold no record (a transaction's marker). From any thread.
        """
        consumer = self._read_by.get(place)
        if consumer is None:
            return self._ends.get(place)
        if place in self._at_end:
            return None
        _, end = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return end if end >= 0 else None

    def start(self) -> None:
        """Begin to hand over."""
        self._tune()
        for consumer in self.consumers:
            self._serve(consumer)

    def _serve(self, consumer: Consumer) -> None:
        """Look for ever; at once again where more is there."""
        wait_s = 0.0 if self.poll(consumer) else self._rest_s(consumer)
        self._timers[consumer] = asyncio.get_running_loop().call_later(wait_s, self._serve, consumer)

    def _rest_s(self, consumer: Consumer) -> float:
        if consumer is self._sourcing:
            return _SOURCE_POLL_S
        gathers = consumer is self._gathering and self._gathered
        return self._wait_ms / 1000 / _POLLS_A_WAIT if gathers else _QUIET_POLL_S

    def poll(self, consumer: Consumer) -> bool:
        """Hand over what it has brought. Returns whether more is there."""
        most = SOURCE_RECORDS if consumer is self._sourcing else FETCH_RECORDS
        messages = consumer.consume(most, 0)
        if messages:
            self._hand_over(messages, consumer)
        return len(messages) == most

    def _hand_over(self, messages: Sequence[Message], consumer: Consumer) -> None:
        found: dict[Place, list[Fetched]] = {}
        topic, number = "", -1
        for message in messages:
            if (error := message.error()) is not None:
                self._told(error, message, consumer)
                continue
            if message.partition() != number or message.topic() != topic:
                place = topic, number = str(message.topic()), message.partition() or 0
                self._at_end.discard(place)
                records = found.setdefault(place, [])
            records.append(fetched(message, topic, number))
        by_owner: dict[Owner, dict[Place, Sequence[Input]]] = {}
        for place, records in found.items():
            if self._read_by.get(place) is consumer:
                self._came[place[0]] += len(records)
                by_owner.setdefault(self._owners[place[0]], {})[place] = records
        for owner, taken in by_owner.items():
            owner.receive(taken)

    def _told(self, error: KafkaError, message: Message, consumer: Consumer) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            place = str(message.topic()), message.partition() or 0
            if self._read_by.get(place) is consumer:
                self._at_end.add(place)
        elif not error.retriable():
            die(f"{message.topic() or 'a topic'} cannot be read: {error.str()}")

    def _consumer(self, topic: str) -> Consumer:
        if topic in self._sources:
            return self._sourcing
        return self._gathering if topic in self._gathered else self._answering

    def _tune(self) -> None:
        """Each second: let a topic gather where a wait brings one record, until it brings less than half a one."""
        self._tuning = asyncio.get_running_loop().call_later(_TUNE_S, self._tune)
        came, self._came = self._came, Counter()
        introduced, self._introduced = self._introduced, set()
        for topic, owner in self._owners.items():
            if topic in self._sources:
                continue
            other = self._answering if topic in self._gathered else self._gathering
            moves = self._moves(topic, came[topic])
            if topic in introduced:
                other.incremental_unassign([TopicPartition(topic, 0)])
                if moves:
                    self._gathered ^= {topic}
                    owner.read_anew(topic)
            elif moves:
                self._introduced.add(topic)
                other.incremental_assign([TopicPartition(topic, 0, OFFSET_END)])

    def _moves(self, topic: str, came: int) -> bool:
        a_wait_brings = came / _TUNE_S * self._wait_ms / 1000
        return a_wait_brings < 0.5 if topic in self._gathered else a_wait_brings > 1

    def stop(self) -> None:
        """Hand nothing over any more, and close."""
        for timer in (self._tuning, *self._timers.values()):
            if timer is not None:
                timer.cancel()
        self._read_by.clear()
        for consumer in self.consumers:
            consumer.close()


class Readers:
    """The readers of a process: one for each time that fetches wait, as long as no topic is read twice by it."""

    def __init__(self, brokers: str, client_id: str) -> None:
        self._settings = logged(brokers) | {
            "client.id": client_id,
            "enable.partition.eof": True,
            "queued.min.messages": 2_000,
            "queued.max.messages.kbytes": 16_384,
            "reconnect.backoff.max.ms": 1_000,
        }
        self._made: list[tuple[int, Reader]] = []

    def of(self, wait_ms: int, topics: Iterable[str], owner: Owner, sources: Iterable[str] = ()) -> Reader:
        """A reader whose fetches wait that long, and which brings records of `topics` to `owner`; tables are folded
        from those of `sources`."""
        names = list(topics)
        for wait, reader in self._made:
            if wait == wait_ms and not reader.serves(names):
                break
        else:
            reader = Reader(self._settings, wait_ms)
            self._made.append((wait_ms, reader))
        reader.own(names, owner, sources)
        return reader

    def start(self) -> None:
        """Begin to hand over."""
        for _, reader in self._made:
            reader.start()

    def stop(self) -> None:
        """Hand nothing over any more, and close."""
        for _, reader in self._made:
            reader.stop()
