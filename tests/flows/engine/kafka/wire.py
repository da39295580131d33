"""Between a line and a real broker: a wire that holds, loses and makes up answers, and who is told of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from flows.engine.kafka.line import Line
from flows.engine.kafka.produce_request import Answer, ProduceRequest
from flows.engine.kafka.queued import Emission
from tests.watching import until

_CRC = 17
"""Where the checksum of a record batch lies, over all that follows it (Kafka's record batch, magic 2)."""
Send = Callable[[ProduceRequest], Awaitable[list[Answer]]]
Trick = Callable[[ProduceRequest, Send], Awaitable[list[Answer]]]


class Wire:
    """Between a line and the broker: what was sent, and what becomes of it."""

    def __init__(self, line: Line) -> None:
        self.sent: list[ProduceRequest] = []
        self.tricks: list[Trick] = []
        """One for each of the next requests; without one it goes through."""
        self.client: Any = line._client
        self._send = self.client.send
        self.client.send = self.send

    async def send(self, node: int, request: ProduceRequest) -> list[Answer]:
        async def through(parts: ProduceRequest) -> list[Answer]:
            answers: list[Answer] = await self._send(node, parts)
            return answers

        self.sent.append(request)
        return await (self.tricks.pop(0)(request, through) if self.tricks else through(request))


async def lose_the_answer(request: ProduceRequest, send: Send) -> list[Answer]:
    await send(request)
    raise KafkaConnectionError


async def lose_the_request(request: ProduceRequest, send: Send) -> list[Answer]:
    raise KafkaConnectionError


def answer(code: int, only: int | None = None) -> Trick:
    """The broker takes nothing and says why; with `only`, of that partition."""

    async def refuse(request: ProduceRequest, send: Send) -> list[Answer]:
        refused = [part for part in request.parts if only in (None, part[1])]
        others = [part for part in request.parts if part not in refused]
        found = await send(ProduceRequest(others)) if others else []
        return [*found, *(Answer(topic, partition, code, -1) for topic, partition, _ in refused)]

    return refuse


class Told:
    """Emissions, and what was told of them."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.done: list[int] = []
        self.logged: list[tuple[str, int, int]] = []
        self._count = 0

    def emit(self, *records: tuple[str, int, bytes | None], logged: bool = False) -> None:
        number, self._count = self._count, self._count + 1
        now = asyncio.get_running_loop().time()
        emission = Emission(1, now, 1_790_000_000_000, lambda: self.done.append(number), self._log)
        for topic, partition, value in records:
            place = topic, partition if partition >= 0 else self.line.choose(topic, None)
            self.line.produce([(place, None, value, None)], emission, logged=logged)
        emission.less()

    def _log(self, topic: str, partition: int, offset: int) -> None:
        self.logged.append((topic, partition, offset))

    async def wait(self) -> None:
        """Until all emissions are done."""
        await until(lambda: len(self.done) == self._count)


async def write_named(brokers: str, place: tuple[str, int], key: bytes, value: bytes, name: bytes) -> None:
    """Write a record whose one header has these four bytes for a name: clients write names that are text alone."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, len(value) + 1_000)
    builder.append(0, 1_790_000_000_000, key, value, [("NAME", b"value")])
    data = bytearray(bytes(builder.build()).replace(b"NAME", name))
    data[_CRC : _CRC + 4] = calc_crc32c(bytes(data[_CRC + 4 :])).to_bytes(4, "big")
    client = AIOKafkaClient(bootstrap_servers=brokers, client_id="tests")
    await client.bootstrap()
    await client.force_metadata_update()
    [answer] = await client.send(client.get_random_node(), ProduceRequest([(*place, bytes(data))]))
    await client.close()
    assert answer.code == 0
