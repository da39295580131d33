"""What a process reads, from a real broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer

from agents.stage import Input
from flows.engine.kafka import reader as module
from flows.engine.kafka.fetched import Fetched
from flows.engine.kafka.reader import FETCH_RECORDS, SOURCE_RECORDS, Place, Reader, Readers
from tests.watching import until


class Reading:
    """An owner that remembers what it was given, and asks again for what it follows."""

    def __init__(self) -> None:
        self.records: list[Input] = []
        self.anew: list[str] = []
        self.given = 0
        self.most = 0

    def receive(self, records: Mapping[Place, Sequence[Input]]) -> None:
        self.given += 1
        self.most = max(self.most, sum(map(len, records.values())))
        for place, found in records.items():
            assert {(record.topic, record.partition) for record in found} == {place}
            self.records += found

    def read_anew(self, topic: str) -> None:
        self.anew.append(topic)

    def offsets(self, number: int = 0) -> list[int]:
        return [record.offset for record in self.records if record.partition == number]


@pytest.fixture
async def readers(kafka: str) -> AsyncIterator[Readers]:
    """A process's readers."""
    readers = Readers(kafka, "tests")
    yield readers
    readers.stop()


def write(kafka: str, topic: str, count: int, partition: int = 0, size: int = 0) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 1})
    for number in range(count):
        producer.produce(topic, f"{number}".encode().ljust(size), f"k{number}", partition, headers=[("h", b"v")])
        producer.poll(0)
    assert producer.flush(20) == 0


def step(reader: Reader) -> bool:
    """Have it hand over once what has come."""
    return any([reader.poll(consumer) for consumer in reader.consumers])


async def test_records_come_as_a_stage_sees_them(kafka: str, topic: str, readers: Readers) -> None:
    write(kafka, topic, 1)
    owner = Reading()
    reader = readers.of(10, [topic], owner)
    readers.start()
    reader.read({(topic, 0): 0})
    await until(lambda: owner.records)
    [record] = owner.records
    assert abs(record.timestamp / 1000 - time.time()) < 60
    assert record == Fetched(topic, 0, 0, record.timestamp, b"k0", b"0", [("h", b"v")])


async def test_a_partition_read_anew_brings_nothing_of_what_was_fetched_before(
    kafka: str, topic: str, readers: Readers
) -> None:
    write(kafka, topic, 3_000)
    owner = Reading()
    reader = readers.of(10, [topic], owner)
    reader.read({(topic, 0): 0})
    for start in (1_500, 20, 1_000, 0, 2_000, 5) * 3:
        await until(lambda: step(reader) or owner.records)
        owner.records.clear()
        reader.read({(topic, 0): start})
        await until(lambda: step(reader) or owner.records)
        found = owner.offsets()
        assert found == list(range(start, start + len(found)))


async def test_a_partition_that_is_left_brings_nothing_more_and_the_others_go_on(
    kafka: str, topic: str, readers: Readers
) -> None:
    write(kafka, topic, 3_000, 0)
    write(kafka, topic, 3_000, 1)
    owner = Reading()
    reader = readers.of(10, [topic], owner)
    reader.read({(topic, 0): 0, (topic, 1): 0})
    await until(lambda: step(reader) or owner.offsets(0))
    reader.leave([(topic, 0)])
    stood = owner.offsets(0)
    readers.start()
    await until(lambda: len(owner.offsets(1)) == 3_000)
    assert owner.offsets(0) == stood
    assert len(stood) < 3_000


async def test_no_hand_over_is_larger_than_what_the_loop_bears(kafka: str, topic: str, readers: Readers) -> None:
    write(kafka, topic, 2_000)
    owner = Reading()
    reader = readers.of(10, [topic], owner)
    readers.start()
    reader.read({(topic, 0): 0})
    await until(lambda: len(owner.records) == 2_000)
    assert owner.most <= FETCH_RECORDS
    assert owner.offsets() == list(range(2_000))


async def test_what_tables_are_folded_from_holds_nothing_else_up(kafka: str, topic: str, readers: Readers) -> None:
    source = f"{topic}-b"
    write(kafka, source, 5_000)
    write(kafka, topic, 1)
    owner = Reading()
    reader = readers.of(10, [topic, source], owner, sources=[source])
    reader.read({(source, 0): 0})
    await until(lambda: step(reader) and owner.records)
    reader.read({(topic, 0): 0})
    await until(lambda: reader.end((topic, 0)) == 1)
    await asyncio.sleep(0.5)  # both have been fetched by now
    owner.records.clear()
    await until(lambda: step(reader) and any(record.topic == topic for record in owner.records))
    assert len(owner.records) <= 2 * SOURCE_RECORDS


async def test_each_flow_gets_the_records_of_its_topics(kafka: str, topic: str, readers: Readers) -> None:
    other = f"{topic}-b"
    write(kafka, topic, 5)
    write(kafka, other, 7)
    mine, theirs = Reading(), Reading()
    assert readers.of(10, [topic], mine) is (reader := readers.of(10, [other], theirs))
    readers.start()
    reader.read({(topic, 0): 0, (other, 0): 3})
    await until(lambda: len(mine.records) == 5 and len(theirs.records) == 4)
    assert ({r.topic for r in mine.records}, {r.topic for r in theirs.records}) == ({topic}, {other})


async def test_two_flows_of_a_process_may_read_the_same_topic_each_at_its_place(
    kafka: str, topic: str, readers: Readers
) -> None:
    write(kafka, topic, 5)
    first, second = Reading(), Reading()
    readers.of(10, [topic], first).read({(topic, 0): 0})
    readers.of(10, [topic], second).read({(topic, 0): 3})
    readers.start()
    await until(lambda: len(first.records) >= 5 and len(second.records) >= 2)
    assert (first.offsets(), second.offsets()) == ([0, 1, 2, 3, 4], [3, 4])


async def test_a_quiet_topic_is_answered_at_once_and_a_busy_one_gathers_until_it_is_quiet_again(
    kafka: str, topic: str, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TUNE_S", 0.2)
    owner = Reading()
    reader = readers.of(1_000, [topic], owner)
    readers.start()
    reader.read({(topic, 0): 0})
    began = time.monotonic()
    write(kafka, topic, 1)
    await until(lambda: owner.records)
    assert time.monotonic() - began < 0.8, "a wait of 1 s was not sat out"
    assert not owner.anew
    written = 1
    while not owner.anew:
        write(kafka, topic, 50)
        written += 50
        await until(lambda wanted=written: len(owner.records) == wanted)
    assert topic in reader._gathered
    reader.read({(topic, 0): written})
    owner.records.clear()
    for _ in range(20):
        write(kafka, topic, 1)
    given = owner.given
    await until(lambda: len(owner.records) == 20)
    assert owner.given - given <= 2, "the broker gathers"
    await until(lambda: owner.anew == [topic, topic])
    assert topic not in reader._gathered


async def test_a_consumer_that_has_read_nothing_for_long_reads_a_topic_it_knows_at_once(kafka: str, topic: str) -> None:
    """By itself it looks for one once a second; a wait of 3 s ends right behind such a look."""

    async def took_s() -> float:
        owner = Reading()
        reader = Readers(kafka, "tests").of(10, [topic], owner)
        await asyncio.sleep(3)
        reader.know([topic])
        began = time.monotonic()
        reader.read({(topic, 0): 0})
        await until(lambda: step(reader) or owner.records)
        took = time.monotonic() - began
        reader.stop()
        return took

    write(kafka, topic, 1)
    assert min(await asyncio.gather(*(took_s() for _ in range(3)))) < 0.8


async def test_a_topic_moves_to_a_consumer_that_has_read_nothing_without_a_pause(
    kafka: str, topic: str, readers: Readers
) -> None:
    owner = Reading()
    reader = readers.of(10, [topic], owner)
    readers.start()
    reader.read({(topic, 0): 0})
    while not owner.anew:
        write(kafka, topic, 20)
        await asyncio.sleep(0)
    reader.read({(topic, 0): owner.records[-1].offset + 1})
    before, began = len(owner.records), time.monotonic()
    write(kafka, topic, 1)
    await until(lambda: len(owner.records) > before)
    assert time.monotonic() - began < 0.8


async def test_brokers_that_do_not_answer_are_not_waited_for(unused_tcp_port: int) -> None:
    reader = Readers(f"127.0.0.1:{unused_tcp_port}", "tests").of(10, ["orders", "people"], Reading())
    began = time.monotonic()
    await asyncio.to_thread(reader.know, ["orders", "people"])
    assert time.monotonic() - began < 3
    reader.stop()


async def test_an_end_is_known_until_it_is_reached_and_while_a_partition_is_left(
    kafka: str, topic: str, readers: Readers
) -> None:
    write(kafka, topic, 1_000)
    owner = Reading()
    reader = readers.of(10, [topic], owner)
    reader.read({(topic, 0): 0})
    assert reader.end((topic, 0)) is None
    await until(lambda: step(reader) or owner.records)
    assert len(owner.records) < 1_000
    assert reader.end((topic, 0)) == 1_000
    reader.leave([(topic, 0)])
    assert reader.end((topic, 0)) == 1_000
    reader.read({(topic, 0): 900})
    readers.start()
    await until(lambda: owner.records[-1].offset == 999 and reader.end((topic, 0)) is None)


async def test_an_error_that_does_not_pass_ends_the_process_and_one_that_passes_does_not(
    topic: str, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[str] = []
    monkeypatch.setattr(module, "die", died.append)
    reader = readers.of(10, [topic], Reading())
    about: Any = SimpleNamespace(topic=lambda: topic, partition=lambda: 0)
    reader._told(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, retriable=True), about, reader.consumers[0])
    assert died == []
    reader._told(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not allowed"), about, reader.consumers[0])
    assert died == [f"{topic} cannot be read: not allowed"]
