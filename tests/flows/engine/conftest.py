"""Toys: a small flow with topics of its own on the shared broker, its workers as processes, its topics as lists."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local.children import Child, Nursery
from flows.cluster import Cluster
from flows.engine.state.changelog import unpack
from schemas.keys import HOME_BYTES
from schemas.topics import Topic
from tests.flows.engine.toy import names, read_tally

REPOSITORY = Path(__file__).parents[3]
READY_S = 30.0
_numbers = itertools.count()


def eventually(holds: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait until `holds()` is true; fail with what it last was."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what or holds} is still {found!r} after {seconds} s"
        time.sleep(0.05)


def make_topics(brokers: str, partitions: int, *names: str) -> None:
    """Make empty topics; the broker tells of them when this returns."""
    Cluster(brokers, partitions, 1).apply([Topic(name, "key", None) for name in names])
    admin = AdminClient({"bootstrap.servers": brokers})
    eventually(lambda: set(names) <= set(admin.list_topics(timeout=5).topics))


def read(brokers: str, topic: str) -> list[Message]:
    """Everything in a topic of four partitions, each in order."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "tests", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
    ends = sum(consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=5)[1] for number in range(4))
    found: list[Message] = []
    deadline = time.monotonic() + 10
    while len(found) < ends and time.monotonic() < deadline:
        found += consumer.consume(100, 0.2)
    consumer.close()
    return found


class Worker:
    """One process of a toy."""

    def __init__(self, child: Child, state: Path) -> None:
        self.child, self.state = child, state

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        lines = self.child.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line["event"] == name]

    def ready(self, times: int = 1, flows: int = 1) -> "Worker":
        """Wait until its flows have taken partitions over so many times."""

        def is_ready() -> bool:
            assert self.child.alive(), self.child.obituary()
            return len(self.events("flow_ready")) >= times * flows

        eventually(is_ready, READY_S, "the worker's readiness")
        return self

    def page(self, path: str) -> str:
        """A page of its metrics port."""
        eventually(lambda: self.events("process_started"), READY_S)
        port = self.events("process_started")[0]["metrics_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        pattern = re.compile(rf"^{name}(?:{{[^}}]*}})? (\S+)$", re.MULTILINE)
        return sum(float(value) for value in pattern.findall(self.page("/metrics")))

    def kill(self) -> None:
        """kill -9."""
        self.child.process.kill()
        self.child.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.child.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = 20.0) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it still runs after {seconds} s:\n{self.child.tail()}")


class Toy:
    """A toy flow on a broker: topics, workers, and what came of it."""

    def __init__(
        self, brokers: str, folder: Path, nursery: Nursery, partitions: int = 2, more: int = 0, name: str = ""
    ) -> None:
        self.brokers, self._folder, self._nursery, self.partitions = brokers, folder, nursery, partitions
        self.name = name or f"toy{os.getpid()}-{next(_numbers)}"
        self.toys = [self.name, *(f"{self.name}-{number}" for number in range(more))]
        self.journal = folder / f"{self.name}.journal"
        self.topics = names(self.name)
        self.admin = AdminClient({"bootstrap.servers": brokers})
        Cluster(brokers, partitions, 1).apply([topic for toy in self.toys for topic in names(toy)])
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "compression.type": "lz4"})
        self._reader = Consumer({"bootstrap.servers": brokers, "group.id": "tests", "enable.auto.commit": False})
        self._begun: set[Topic] = set()
        self._heard: dict[str, list[Message]] = {}
        self._positions: dict[str, list[int]] = {}
        self._ids = itertools.count()
        self._workers: list[Worker] = []

    def spawn(self, worker: str = "w1", **environment: str) -> Worker:
        """Start a worker under this id, with its state of before if there is any."""
        state = self._folder / self.name / worker
        state.mkdir(parents=True, exist_ok=True)
        wanted = {
            "CARILLON_KAFKA": self.brokers,
            "TOY_NAMES": ",".join(self.toys),
            "TOY_WORKER": worker,
            "TOY_STATE": str(state),
            "TOY_PARTITIONS": str(self.partitions),
            "TOY_JOURNAL": str(self.journal),
        }
        child = self._nursery.spawn(
            worker,
            [sys.executable, "-m", "tests.flows.engine.toy"],
            self._folder / f"{self.name}.{worker}.{next(_numbers)}.log",
            environment=wanted | environment,
            cwd=REPOSITORY,
        )
        self._workers.append(Worker(child, state))
        return self._workers[-1]

    def start(self, worker: str = "w1", **environment: str) -> Worker:
        """Start a worker and wait until it has partitions."""
        return self.spawn(worker, **environment).ready(flows=len(self.toys))

    def ask(self, *asked: dict[str, Any], key: str | None = None, partition: int | None = None) -> list[int]:
        """Write records to the main topic (a key each by default) and return their ids."""
        ids = []
        for record in asked:
            ids.append(next(self._ids))
            chosen = {} if partition is None else {"partition": partition}
            value = json.dumps({"id": ids[-1], **record}).encode()
            self.write(self.topics.asked, (key or f"k{ids[-1]}").encode(), value, **chosen)
        self.flush()
        return ids

    def stream(self, count: int, users: int = 20, **asked: Any) -> Counter[str]:
        """Write `count` records of a few keys, soon; how many of each key."""
        keys = [f"user{number % users}" for number in range(count)]
        for key in keys:
            self.write(self.topics.asked, key.encode(), json.dumps({"id": next(self._ids), **asked}).encode())
        return Counter(keys)

    def write(self, topic: Topic, key: bytes, value: bytes | None, **more: Any) -> None:
        """Write one record, soon; the first of a topic at once."""
        self._producer.produce(topic.name, value, key, **more)
        self._producer.poll(0)
        if topic not in self._begun:  # until the client knows a topic, what follows may overtake its first record
            self._begun.add(topic)
            self.flush()

    def flush(self) -> None:
        """Wait until what was written is in the log."""
        assert self._producer.flush(20) == 0

    def records(self, topic: Topic) -> list[Message]:
        """Everything in a topic so far, each partition in order."""
        heard = self._heard.setdefault(topic.name, [])
        at = self._positions.setdefault(topic.name, [0] * self.partitions)
        places = [TopicPartition(topic.name, number, offset) for number, offset in enumerate(at)]
        ends = [self._reader.get_watermark_offsets(place, timeout=10)[1] for place in places]
        self._reader.assign([place for place, end in zip(places, ends, strict=True) if place.offset < end])
        deadline = time.monotonic() + 10
        while any(offset < end for offset, end in zip(at, ends, strict=True)):
            assert time.monotonic() < deadline, f"{topic.name} could not be read to its end"
            for message in self._reader.consume(5000, 0.1):
                assert message.error() is None, message.error()
                heard.append(message)
                at[message.partition()] = message.offset() + 1
        self._reader.unassign()
        return heard

    def told(self) -> list[dict[str, Any]]:
        """What was told of the worked records."""
        return [line for line in self._lines() if "fresh" in line]

    def called(self) -> dict[int, str]:
        """What became of each call, by the id of its record."""
        return {line["id"]: line["called"] for line in self._lines() if "called" in line}

    def sides(self) -> list[str]:
        """The values of the side topic that went through a stage."""
        return [line["side_seen"] for line in self._lines() if "side_seen" in line]

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self.records(self.topics.out)]

    def ids(self) -> list[int]:
        """The ids that were told, in order, repeats and all."""
        return [line["id"] for line in self.told()]

    def await_ids(self, ids: Iterable[int], seconds: float = 20.0) -> None:
        """Wait until all of these were told."""
        wanted = set(ids)
        eventually(lambda: wanted <= set(self.ids()), seconds, f"being told all of {len(wanted)}")

    def tallies(self) -> dict[str, int]:
        """The latest count of each key in the changelog."""
        batches = [unpack(message.value()) for message in self.records(self.topics.log)]
        return {key[HOME_BYTES:].decode(): read_tally(entry)[1] for batch in batches for key, entry in batch.items()}

    def committed(self, topic: Topic | None = None) -> list[int]:
        """What the group has committed of a topic (the main one by default), by partition; -1 where nothing."""
        places = [TopicPartition((topic or self.topics.asked).name, number) for number in range(self.partitions)]
        request = ConsumerGroupTopicPartitions(f"carillon-{self.name}", places)
        found = self.admin.list_consumer_group_offsets([request])[f"carillon-{self.name}"].result(10)
        return [max(-1, place.offset) for place in found.topic_partitions]

    def ends(self, topic: Topic | None = None) -> list[int]:
        """The log ends of a topic (the main one by default), by partition."""
        places = [TopicPartition((topic or self.topics.asked).name, number) for number in range(self.partitions)]
        return [self._reader.get_watermark_offsets(place, timeout=10)[1] for place in places]

    def await_commits(self, seconds: float = 10.0) -> None:
        """Wait until everything in the main topic is committed."""
        ends = self.ends()
        eventually(lambda: [max(0, n) for n in self.committed()] == ends, seconds, f"commits up to {ends}")

    def make_anew(self, topic: Topic) -> None:
        """Delete a topic and create it again, empty."""
        self.admin.delete_topics([topic.name], operation_timeout=10)[topic.name].result(10)
        eventually(lambda: topic.name not in self.admin.list_topics(timeout=5).topics)
        Cluster(self.brokers, self.partitions, 1).apply([topic])

    def calls(self) -> list[dict[str, Any]]:
        """The journal of calls."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []

    def close(self) -> None:
        """Kill what still runs and let go of the client."""
        for worker in self._workers:
            worker.kill()
        self._reader.close()


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    """Processes that end with the test, however it ends."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def toys(kafka: str, tmp_path: Path, nursery: Nursery) -> Iterator[Callable[..., Toy]]:
    """Makes toys: (partitions, more flows) -> Toy."""
    made: list[Toy] = []

    def make(partitions: int = 2, more: int = 0) -> Toy:
        made.append(Toy(kafka, tmp_path, nursery, partitions, more))
        return made[-1]

    yield make
    for toy in made:
        toy.close()


@pytest.fixture
def toy(toys: Callable[..., Toy]) -> Toy:
    """A toy of two partitions."""
    return toys()
