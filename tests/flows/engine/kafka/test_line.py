"""The producer's promises, on a real broker."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from flows.engine.kafka.line import REQUEST_BYTES, Line
from flows.engine.kafka.produce_request import Answer, ProduceRequest
from flows.engine.kafka.queued import BATCH_BYTES, WEIGHT, Emission
from schemas.errors import Unreachable
from schemas.records import MAX_VALUE_BYTES
from tests.flows.engine.conftest import make_topics, read
from tests.flows.engine.kafka.wire import Send, Told, Trick, Wire, answer, lose_the_answer, lose_the_request
from tests.watching import until

LINGER_MS = 20.0


class Dead(BaseException):
    """The process has ended."""


@pytest.fixture
def topic(kafka: str) -> str:
    """An empty topic of four partitions."""
    return made(kafka, f"line-{uuid.uuid4().hex[:8]}")


def made(kafka: str, name: str) -> str:
    """Make a topic of that name, and one with "-b" behind it."""
    make_topics(kafka, 4, name, f"{name}-b")
    return name


@pytest.fixture
async def line(kafka: str, topic: str) -> AsyncIterator[Line]:
    """A line that knows the topic, and an empty record in each partition: a new leader may refuse the first."""
    started = Line(kafka, LINGER_MS, "tests")
    await started.start()
    told = Told(started)
    told.emit(*[(name, number, None) for name in (topic, f"{topic}-b") for number in range(4)])
    await told.wait()
    yield started
    await started.stop()


@pytest.fixture
def wire(line: Line) -> Wire:
    return Wire(line)


@pytest.fixture
def told(line: Line) -> Told:
    return Told(line)


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the process has ended."""
    found: list[str] = []

    def die(why: str, error: BaseException | None = None) -> NoReturn:
        found.append(why)
        raise Dead

    monkeypatch.setattr("flows.engine.kafka.line.die", die)
    return found


def values(brokers: str, topic: str) -> dict[int, list[bytes]]:
    """The values in a topic, by partition, without empty records."""
    found: dict[int, list[bytes]] = {}
    for message in read(brokers, topic):
        if message.value():
            found.setdefault(message.partition(), []).append(message.value())
    return dict(sorted(found.items()))


# -- together ----------------------------------------------------------------------------------------------------------


async def test_all_that_waits_at_the_same_moment_goes_in_one_request(topic: str, wire: Wire, told: Told) -> None:
    began = time.monotonic()
    told.emit(*[(topic, number, b"v") for number in range(4)])
    told.emit((f"{topic}-b", 2, b"v"), (topic, 1, b"w"))
    await told.wait()
    assert time.monotonic() - began >= LINGER_MS / 1000 - 0.002
    [request] = wire.sent
    assert {(name, number) for name, number, _ in request.parts} == {
        *((topic, number) for number in range(4)),
        (f"{topic}-b", 2),
    }


async def test_one_request_is_under_way_and_the_next_takes_all_that_gathered(
    kafka: str, topic: str, wire: Wire, told: Told
) -> None:
    back = asyncio.Event()

    async def hold(request: ProduceRequest, send: Send) -> list[Answer]:
        answers = await send(request)
        await back.wait()
        return answers

    wire.tricks = [hold]
    told.emit((topic, 0, b"1"))
    await until(lambda: wire.sent)
    for value in (b"2", b"3"):
        told.emit((topic, 0, value), (topic, 1, value))
        await asyncio.sleep(2 * LINGER_MS / 1000)
    assert (len(wire.sent), told.done) == (1, [])
    back.set()
    began = time.monotonic()
    await told.wait()
    assert time.monotonic() - began < LINGER_MS / 1000, "it has lingered while it waited"
    assert [sorted(number for _, number, _ in request.parts) for request in wire.sent] == [[0], [0, 1]]
    assert values(kafka, topic) == {0: [b"1", b"2", b"3"], 1: [b"2", b"3"]}


async def test_the_largest_values_go_and_what_does_not_fit_goes_at_once_behind(
    kafka: str, topic: str, wire: Wire, told: Told
) -> None:
    small, large = os.urandom(40_000), os.urandom(MAX_VALUE_BYTES)
    told.emit(*[(name, n % 4, b"%d" % n + small) for n in range(100) for name in (topic, f"{topic}-b")])
    told.emit((topic, 0, large), (topic, 0, b"end"))
    await told.wait()
    for request in wire.sent:
        assert sum(len(data) for _, _, data in request.parts) <= REQUEST_BYTES
    parts = [part for request in wire.sent for part in request.parts]
    sizes = [[len(record.value or b"") for record in DefaultRecordBatch(data)] for _, _, data in parts]
    assert all(sum(size) <= BATCH_BYTES for size in sizes if len(size) > 1)
    found, other = values(kafka, topic), values(kafka, f"{topic}-b")
    assert found[0] == [b"%d" % n + small for n in range(0, 100, 4)] + [large, b"end"]
    assert [len(found[number]) for number in range(4)] == [27, 25, 25, 25]
    assert [len(other[number]) for number in range(4)] == [25, 25, 25, 25]


async def test_only_what_is_worth_it_is_compressed(kafka: str, topic: str, wire: Wire, told: Told) -> None:
    told.emit((topic, 0, b"short" * 20), *[(topic, 1, b"long" * 100)] * 5, (topic, 2, b"long" * 1000))
    await told.wait()
    codecs = {number: DefaultRecordBatch(data).compression_type for _, number, data in wire.sent[0].parts}
    lz4 = DefaultRecordBatch.CODEC_LZ4
    assert codecs == {0: DefaultRecordBatch.CODEC_NONE, 1: lz4, 2: lz4}
    assert values(kafka, topic) == {0: [b"short" * 20], 1: [b"long" * 100] * 5, 2: [b"long" * 1000]}


async def test_records_without_a_key_are_spread(kafka: str, topic: str, told: Told) -> None:
    told.emit(*[(topic, -1, b"v")] * 100)
    await told.wait()
    assert sorted(values(kafka, topic)) == [0, 1, 2, 3]


# -- again -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trick", [lose_the_answer, lose_the_request, answer(6), answer(5), answer(19), answer(7)])
async def test_what_may_not_be_written_is_sent_again_as_it_was_and_nothing_overtakes_it(
    kafka: str, topic: str, wire: Wire, told: Told, trick: Trick
) -> None:
    wire.tricks = [trick, trick]
    told.emit((topic, 0, b"1"), (topic, 1, b"1"), logged=True)
    await until(lambda: wire.sent)
    told.emit((topic, 0, b"2"), (topic, 1, b"2"), logged=True)
    await told.wait()
    assert wire.sent[0].parts == wire.sent[1].parts == wire.sent[2].parts
    assert values(kafka, topic) == {0: [b"1", b"2"], 1: [b"1", b"2"]}
    by_partition = sorted(told.logged, key=lambda logged: logged[1])
    assert by_partition == [(topic, 0, 2), (topic, 0, 3), (topic, 1, 2), (topic, 1, 3)]
    assert told.done == [0, 1]


async def test_one_partition_that_has_to_wait_does_not_hold_the_others_up(
    kafka: str, topic: str, wire: Wire, told: Told
) -> None:
    wire.tricks = [answer(6, only=0)] * 3
    told.emit((topic, 0, b"1"))
    told.emit((topic, 1, b"1"))
    await until(lambda: told.done)
    told.emit((topic, 0, b"2"))
    told.emit((topic, 1, b"2"))
    await told.wait()
    assert told.done.index(0) > told.done.index(1)
    assert told.done.index(2) > told.done.index(0)
    assert values(kafka, topic) == {0: [b"1", b"2"], 1: [b"1", b"2"]}


async def test_a_duplicate_is_written_and_its_offset_unknown(topic: str, wire: Wire, told: Told) -> None:
    wire.tricks = [answer(46)]
    told.emit((topic, 0, b"v"), logged=True)
    await told.wait()
    assert (told.done, told.logged, len(wire.sent)) == ([0], [], 1)


async def test_connections_that_are_cut_again_and_again_lose_nothing_and_repeat_nothing(
    kafka: str, topic: str, wire: Wire, told: Told
) -> None:
    for number in range(400):
        told.emit(*[(topic, partition, b"%d" % number) for partition in range(4)])
        if number % 40 == 20:
            for connection in list(wire.client._conns.values()):
                if connection.connected():
                    connection._writer.transport.abort()
        await asyncio.sleep(0.003)
    await told.wait()
    assert values(kafka, topic) == dict.fromkeys(range(4), [b"%d" % number for number in range(400)])


async def test_sequence_numbers_begin_again_behind_the_last(kafka: str, topic: str, line: Line, told: Told) -> None:
    fresh = made(kafka, f"{topic}-fresh")
    told.emit((fresh, 0, b"0"))
    line._queues[fresh, 0]._sequence = 2**31 - 2
    for number in range(1, 6):
        await told.wait()
        told.emit((fresh, 0, b"%d" % number), (fresh, 0, b"and"))
    await told.wait()
    assert line._queues[fresh, 0]._sequence == 9
    assert len(values(kafka, fresh)[0]) == 11


# -- never -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-1, 2, 10, 29, 45, 47, 59, 87, 90])
async def test_what_can_never_be_written_ends_the_process_unacknowledged(
    topic: str, wire: Wire, told: Told, deaths: list[str], code: int
) -> None:
    wire.tricks = [answer(code, only=1)]
    told.emit((topic, 1, b"v"), logged=True)
    await until(lambda: deaths)
    assert f"a record for {topic} was not written: " in deaths[0]
    assert deaths[0].endswith(f"Kafka's error {code}")
    assert (told.done, told.logged) == ([], [])


async def test_a_record_larger_than_the_broker_takes_ends_the_process(
    kafka: str, topic: str, told: Told, deaths: list[str]
) -> None:
    limit = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[limit])
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.incremental_alter_configs([resource])[resource].result(10)
    told.emit((topic, 0, os.urandom(8_000)))
    await until(lambda: deaths)
    assert "MessageSizeTooLargeError" in deaths[0]
    assert told.done == []


async def test_what_no_broker_takes_in_time_ends_the_process(
    topic: str, wire: Wire, told: Told, deaths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.engine.kafka.line.WRITTEN_S", 0.4)
    wire.tricks = [lose_the_request] * 100
    began = time.monotonic()
    told.emit((topic, 0, b"v"))
    await until(lambda: deaths)
    assert 0.4 < time.monotonic() - began < 1.5
    assert deaths[0].startswith(f"a record for {topic} was not written within")


async def test_a_broker_that_never_answers_ends_the_process(
    topic: str, wire: Wire, told: Told, deaths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(request: ProduceRequest, send: Send) -> list[Answer]:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("flows.engine.kafka.line.WRITTEN_S", 0.4)
    wire.tricks = [hang]
    told.emit((topic, 0, b"v"))
    await until(lambda: deaths)
    assert told.done == []


async def test_a_topic_that_is_not_there_ends_the_process(told: Told, deaths: list[str]) -> None:
    with pytest.raises(Dead):
        told.emit(("not-there", -1, b"v"))
    assert "carillon topics plan" in deaths[0]


async def test_an_error_in_what_is_told_of_an_acknowledgement_ends_the_process(
    topic: str, line: Line, deaths: list[str]
) -> None:
    emission = Emission(0, asyncio.get_running_loop().time(), 0, [].pop, lambda *_: None)
    line.produce([((topic, 0), None, b"v", None)], emission)
    await until(lambda: deaths)
    assert "cannot be followed" in deaths[0]


async def test_a_process_that_may_write_no_more_sends_nothing(kafka: str, topic: str, deaths: list[str]) -> None:
    stood_still, asked = asyncio.Event(), asyncio.Event()

    def guard() -> bool:
        if stood_still.is_set():
            asked.set()
            raise Dead
        return True

    line = Line(kafka, LINGER_MS, "tests", [guard])
    await line.start()
    told = Told(line)
    told.emit((topic, 0, b"1"))
    await told.wait()
    told.emit((topic, 0, b"2"))
    stood_still.set()
    await asyncio.wait_for(asked.wait(), 10)
    await asyncio.sleep(0.1)
    await line.stop()
    assert values(kafka, topic) == {0: [b"1"]}


async def test_while_a_group_does_not_answer_nothing_is_sent_and_then_all_of_it_once(kafka: str, topic: str) -> None:
    heard, asked = [False], asyncio.Event()

    def guard() -> bool:
        asked.set()
        return heard[0]

    line = Line(kafka, LINGER_MS, "tests", [lambda: True, guard])
    await line.start()
    told = Told(line)
    told.emit((topic, 0, b"1"))
    await asyncio.wait_for(asked.wait(), 10)
    told.emit((topic, 0, b"2"))
    assert values(kafka, topic).get(0, []) == []
    heard[0] = True
    await told.wait()
    await line.stop()
    assert values(kafka, topic) == {0: [b"1", b"2"]}


# -- beginning and end -------------------------------------------------------------------------------------------------


async def test_agents_wait_for_large_values_sooner(
    topic: str, line: Line, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.engine.kafka.line._QUEUE_LIMIT", 100 * WEIGHT)
    told.emit((topic, 0, bytes(390_000)))  # weighs as much as 96 small ones
    await asyncio.wait_for(line.room(), 0.01)
    told.emit((topic, 0, bytes(100_000)))
    room = asyncio.create_task(line.room())
    await asyncio.sleep(0)
    assert not room.done()
    await told.wait()
    await asyncio.wait_for(room, 1)
    assert line._weight == 0


async def test_nothing_is_left_behind(kafka: str, topic: str) -> None:
    before = asyncio.all_tasks()
    line = Line(kafka, LINGER_MS, "tests")
    await line.start()
    told = Told(line)
    told.emit((topic, 0, b"v"))
    await told.wait()
    assert asyncio.all_tasks() != before
    client: Any = line._client
    await line.stop()
    assert asyncio.all_tasks() == before
    assert not any(connection.connected() for connection in client._conns.values())


async def test_brokers_that_do_not_answer_are_named(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.engine.kafka.line._START_S", 0.5)
    before = asyncio.all_tasks()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{unused_tcp_port}"):
        await Line(f"127.0.0.1:{unused_tcp_port}", LINGER_MS, "tests").start()
    assert asyncio.all_tasks() == before
