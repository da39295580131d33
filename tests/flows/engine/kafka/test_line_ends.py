"""When nothing is written, on a real broker: what ends the process, who has to wait, a line's beginning and end."""

import asyncio
import os
import time
from typing import Any, NoReturn

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from flows.engine.kafka.line import Line
from flows.engine.kafka.produce_request import Answer, ProduceRequest
from flows.engine.kafka.queued import Emission
from schemas.errors import Unreachable
from tests.flows.engine.kafka.conftest import LINGER_MS, values
from tests.flows.engine.kafka.wire import Send, Told, Wire, answer, lose_the_request
from tests.watching import until


class Dead(BaseException):
    """The process has ended."""


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the process has ended."""
    found: list[str] = []

    def die(why: str, error: BaseException | None = None) -> NoReturn:
        found.append(why)
        raise Dead

    monkeypatch.setattr("flows.engine.kafka.line.die", die)
    return found


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
