"""The outbox's way to a real broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flows.cluster import Cluster
from flows.engine.kafka.produce_request import Answer, ProduceRequest
from flows.engine.kafka.queued import WEIGHT
from flows.engine.producer import FlowProducer, Lines
from flows.engine.state.changelog import unpack
from schemas.keys import partition_of
from schemas.topics import Topic
from tests.flows.engine.conftest import make_topics, read
from tests.watching import until


@pytest.fixture
def topic(kafka: str) -> str:
    """An empty topic of four partitions."""
    name = f"produced-{uuid.uuid4().hex[:8]}"
    make_topics(kafka, 4, name)
    return name


@asynccontextmanager
async def producing(kafka: str, linger_ms: float, patient_ms: float, lingering: str) -> AsyncIterator[FlowProducer]:
    """A flow's producer, for a while."""
    lines = Lines(kafka, "tests")
    producer = FlowProducer(lines.of(linger_ms), lines.of(patient_ms), [lingering])
    await lines.start()
    yield producer
    await lines.stop()


@pytest.fixture
async def producer(kafka: str, topic: str) -> AsyncIterator[FlowProducer]:
    """A flow's producer, which knows the topic."""
    async with producing(kafka, 2, 200, "what-lingers") as started:
        yield started


class Emitted:
    """What was reported of an emission."""

    def __init__(self) -> None:
        self.durable = self.done = 0
        self.logged: list[tuple[str, int, int]] = []

    def soon(self) -> None:
        self.durable += 1

    def then(self) -> None:
        assert self.durable == 1
        self.done += 1

    def log(self, topic: str, partition: int, offset: int) -> None:
        assert not self.done, "a changelog is reported before the emission is done"
        self.logged.append((topic, partition, offset))

    async def wait(self) -> None:
        await until(lambda: self.done, 10)


async def test_records_go_where_their_key_or_partition_says_with_their_headers(
    kafka: str, topic: str, producer: FlowProducer
) -> None:
    emitted = Emitted()
    records = [
        (topic, b"some user", b"by key", -1, None),
        (topic, b"some user", b"by partition", 3, [("origin", b"a/0/1")]),
        (topic, None, None, 2, None),
    ]
    producer.emit(records, [], emitted.soon, emitted.then, emitted.log)
    await emitted.wait()
    found = {m.partition(): (m.key(), m.value(), m.headers()) for m in read(kafka, topic) if m.partition() in (2, 3)}
    assert found[2] == (None, None, None)
    assert found[3] == (b"some user", b"by partition", [("origin", b"a/0/1")]) or partition_of(b"some user", 4) == 3
    [by_key] = [m for m in read(kafka, topic) if m.value() == b"by key"]
    assert by_key.partition() == partition_of(b"some user", 4)


async def test_an_emission_is_done_once_after_the_last_acknowledgement(topic: str, producer: FlowProducer) -> None:
    emitted = Emitted()
    producer.emit([(topic, b"%d" % n, b"v", -1, None) for n in range(500)], [], emitted.soon, emitted.then, emitted.log)
    assert emitted.done == 0
    await emitted.wait()
    assert (emitted.done, producer.in_flight) == (1, 0)


async def test_nothing_is_durable_before_the_broker_has_answered_for_every_partition(
    topic: str, producer: FlowProducer
) -> None:
    emitted, client = Emitted(), producer._prompt._client
    send, durable_before = client.send, []

    async def forget_a_partition_once(node: int, request: ProduceRequest) -> list[Answer]:
        durable_before.append(emitted.durable)
        answers: list[Answer] = await send(node, request)
        return [answer for answer in answers if len(durable_before) > 1 or answer.partition != 1]

    client.send = forget_a_partition_once
    records = [(topic, None, b"v", number, None) for number in range(4)]
    producer.emit(records, [], emitted.soon, emitted.then, emitted.log)
    await emitted.wait()
    assert len(durable_before) > 1
    assert set(durable_before) == {0}


async def test_what_lingers_is_sent_later_and_nobody_but_the_whole_emission_waits_for_it(
    kafka: str, topic: str
) -> None:
    lingering = f"{topic}-lingers"
    Cluster(kafka, 4, 1).apply([Topic(lingering, "key", None)])
    async with producing(kafka, 2, 500, lingering) as producer:
        first, emitted = Emitted(), Emitted()
        records = [(topic, None, b"soon", 0, None), (lingering, None, b"late", 0, None)]
        producer.emit(records, [], first.soon, first.then, first.log)
        await first.wait()
        began = time.monotonic()
        producer.emit(records, [(lingering, 1, {b"k": b"e"})], emitted.soon, emitted.then, emitted.log)
        while not emitted.durable:
            await asyncio.sleep(0.002)
        assert time.monotonic() - began < 0.4
        assert (emitted.done, emitted.logged, producer.in_flight) == (0, [], 1)
        await emitted.wait()
        assert time.monotonic() - began >= 0.5
        assert (producer.in_flight, emitted.logged) == (0, [(lingering, 1, 1)])
    assert sorted(m.partition() or 0 for m in read(kafka, lingering)) == [0, 0, 1]


async def test_an_empty_emission_is_done_at_once(producer: FlowProducer) -> None:
    emitted = Emitted()
    producer.emit([], [], emitted.soon, emitted.then, emitted.log)
    assert emitted.done == 1


async def test_a_changelog_gets_the_entries_of_a_batch_as_one_record_and_tells_the_offset_behind_it(
    kafka: str, topic: str, producer: FlowProducer
) -> None:
    emitted = Emitted()
    producer.emit([], [(topic, 1, {b"a": b"1", b"b": None})], emitted.soon, emitted.then, emitted.log)
    await emitted.wait()
    assert emitted.logged == [(topic, 1, 1)]
    [message] = read(kafka, topic)
    assert (message.partition(), unpack(message.value())) == (1, {b"a": b"1", b"b": None})


async def test_changelog_records_of_one_partition_keep_the_order_of_their_batches(
    kafka: str, topic: str, producer: FlowProducer
) -> None:
    emissions = [Emitted() for _ in range(300)]
    for number, emitted in enumerate(emissions):
        producer.emit([], [(topic, 0, {b"k": b"%d" % number})], emitted.soon, emitted.then, emitted.log)
    await emissions[-1].wait()
    assert [unpack(m.value())[b"k"] for m in read(kafka, topic)] == [b"%d" % number for number in range(300)]
    assert [emitted.logged[0][2] for emitted in emissions] == list(range(1, 301))


async def test_agents_wait_while_too_much_is_in_flight(
    topic: str, producer: FlowProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.engine.kafka.line._QUEUE_LIMIT", 100 * WEIGHT)
    emitted = Emitted()
    await asyncio.wait_for(producer.room(), 1)
    producer.emit([(topic, None, b"v", 0, None)] * 101, [], emitted.soon, emitted.then, emitted.log)
    assert producer.in_flight == 1
    room = asyncio.create_task(producer.room())
    await asyncio.sleep(0)
    assert not room.done()
    await emitted.wait()
    await asyncio.wait_for(room, 1)


async def test_partitions_are_counted_and_an_unknown_topic_has_none(topic: str, producer: FlowProducer) -> None:
    assert (producer.partitions(topic), producer.partitions("not-there")) == (4, 0)
