"""The producer's promises, on a real broker: what is written goes together, in order and once."""

import asyncio
import os
import time

import pytest
from aiokafka.record.default_records import DefaultRecordBatch

from flows.engine.kafka.line import REQUEST_BYTES, Line
from flows.engine.kafka.produce_request import Answer, ProduceRequest
from flows.engine.kafka.queued import BATCH_BYTES, WEIGHT
from schemas.records import MAX_VALUE_BYTES
from tests.flows.engine.kafka.conftest import LINGER_MS, made, values
from tests.flows.engine.kafka.wire import Send, Told, Trick, Wire, answer, lose_the_answer, lose_the_request
from tests.watching import until

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
