"""Topics of a test's own on the shared broker, a line to them, the wire it goes through, and what lies in a topic."""

import uuid
from collections.abc import AsyncIterator

import pytest

from flows.engine.kafka.line import Line
from tests.flows.engine.conftest import make_topics, read
from tests.flows.engine.kafka.wire import Told, Wire

LINGER_MS = 20.0


@pytest.fixture
def topic(kafka: str) -> str:
    """An empty topic of four partitions; there is one with "-b" behind it, too."""
    return made(kafka, f"topic-{uuid.uuid4().hex[:8]}")


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


def values(brokers: str, topic: str) -> dict[int, list[bytes]]:
    """The values in a topic, by partition, without empty records."""
    found: dict[int, list[bytes]] = {}
    for message in read(brokers, topic):
        if message.value():
            found.setdefault(message.partition(), []).append(message.value())
    return dict(sorted(found.items()))
