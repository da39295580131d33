"""What the benchmarks share: a stack of their own, its topics, and workers as processes.

Everything lies in a folder that goes with the run, and no process outlives it.
"""

import base64
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from measure import BenchError, Sample, cpu_s
from processes import Phase, Worker

from deploy.local import accounts, children
from deploy.local.servers import Part
from deploy.local.stack import Stack
from flows import roster
from flows.cluster import Cluster
from schemas.sealing import KeyRing
from schemas.topics import Topic

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent
PARTITIONS = 8
_LOOK_S = 0.1
_SILENCE_S = 20.0


class Rig:
    """A stack, its topics, and the processes started on it; all of it ends with the `with`."""

    def __init__(self, parts: Sequence[Part] = ("kafka",)) -> None:
        self._parts = parts
        self._nursery = children.Nursery()
        self._children: list[children.Child] = []
        self._consumers: dict[str, Consumer] = {}

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
        self.folder = Path(tempfile.mkdtemp(prefix="carillon-bench-"))
        lib = REPOSITORY / ".carillon" / "lib"
        self.stack = Stack(self.folder, fresh=True, keep=False, parts=self._parts, jvm="steady", lib=lib)
        keys = {
            "CARILLON_KEYS": f"1:{base64.b64encode(os.urandom(32)).decode()}",
            "CARILLON_INDEX_KEY": base64.b64encode(os.urandom(32)).decode(),
        }
        self.environment = self.stack.start().environment() | accounts.environment() | keys
        self.environment |= {"PYTHONPATH": str(REPOSITORY), "CARILLON_METRICS_PORT": "0"}
        self.brokers = self.stack.addresses.kafka
        self.ring = KeyRing.from_text(keys["CARILLON_KEYS"], keys["CARILLON_INDEX_KEY"])
        self.make(roster.topics())
        return self

    def __exit__(self, *_: object) -> None:
        children.stop(self._children)
        self._nursery.close()
        for consumer in self._consumers.values():
            consumer.close()
        self.stack.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make(self, topics: Sequence[Topic]) -> None:
        """Make topics, and wait until each partition of them has a leader that answers."""
        Cluster(self.brokers, PARTITIONS, 1).apply(topics)
        self.until(lambda: all(self._answers(topic.name) for topic in topics), 30.0, "leaders of new topics")

    def _answers(self, topic: str) -> bool:
        # Asking for its ends alone would not do: the client remembers for long that it did not know a topic.
        told = self._consumer("bench").list_topics(topic, timeout=10).topics[topic]
        if told.error is not None or len(told.partitions) != PARTITIONS:
            return False
        try:
            return self.end(topic) >= 0
        except KafkaException:
            return False

    @contextmanager
    def environ(self) -> Iterator[None]:
        """This process as if it were one of ours, for clients that read os.environ alone."""
        former = dict(os.environ)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(former)

    def spawn(self, name: str, command: Sequence[str], environment: dict[str, str]) -> children.Child:
        """Start a process that cannot outlive this one."""
        log = self.folder / f"{name}-{len(self._children)}.log"
        child = self._nursery.spawn(name, command, log, environment=environment, cwd=REPOSITORY)
        self._children.append(child)
        return child

    def worker(self, name: str, flows: Sequence[str]) -> Worker:
        """A worker that hosts `flows`, as shipped."""
        return Worker(self, name, [sys.executable, str(HERE / "worker.py"), *flows], "flow_ready", len(flows))

    def load(self, name: str, rate: int, seconds: float, users: int, mix: str, prefix: str = "") -> Phase:
        """Start the generator in its own process, for topics that begin with `prefix`; the first event is due after
        `lead_s`."""
        start = time.time() + lead_s(rate, seconds)
        arguments = [str(rate), str(seconds), str(start), name, str(users), mix, prefix]
        command = [sys.executable, str(HERE / "workload.py"), *arguments]
        return Phase(name, rate, seconds, start, self.spawn(f"load-{name}", command, self.environment))

    def until(self, true: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait for a condition. Raises BenchError when it does not come."""
        deadline = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > deadline:
                raise BenchError(f"{what} did not come within {limit_s:.0f} s")
            time.sleep(_LOOK_S)

    def _consumer(self, group: str) -> Consumer:
        """A consumer that asks about `group` and never joins it."""
        if group not in self._consumers:
            settings = {"bootstrap.servers": self.brokers, "group.id": group, "enable.auto.commit": False}
            self._consumers[group] = Consumer(settings | {"auto.offset.reset": "earliest", "log_level": 3})
        return self._consumers[group]

    def committed(self, group: str, topic: str) -> int:
        """Offsets that `group` has committed on `topic`, summed over its partitions."""
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum(max(0, place.offset) for place in self._consumer(group).committed(places, timeout=10))

    def end(self, topic: str) -> int:
        """The log ends of `topic`, summed over its partitions."""
        ask = self._consumer("bench").get_watermark_offsets
        return sum(ask(TopicPartition(topic, number), timeout=10)[1] for number in range(PARTITIONS))

    def read(self, topic: str) -> Iterator[Message]:
        """Every record of `topic`, from its start to the end it has now."""
        settings = {"bootstrap.servers": self.brokers, "group.id": "bench-read", "log_level": 3}
        consumer = Consumer(settings | {"enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        left, heard = PARTITIONS, time.monotonic()
        while left:
            messages = consumer.consume(5000, 0.1)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_S:
                raise BenchError(f"{topic} fell silent with {left} partitions to read to their end")
            for message in messages:
                if message.error() is None:
                    yield message
                else:
                    left -= 1
        consumer.close()

    def follow(self, worker: Worker, done: Callable[[], int], end: int, limit_s: float) -> list[Sample]:
        """Watch a worker until `done` is `end`: one sample whenever it has moved."""
        samples = [Sample(time.time(), done(), cpu_s(worker.pid))]

        def at_end() -> bool:
            worker.check()
            now = done()
            if now != samples[-1].done:
                samples.append(Sample(time.time(), now, cpu_s(worker.pid)))
            return now >= end

        self.until(at_end, limit_s, f"{worker.name} at {end}")
        return samples


def lead_s(rate: float, seconds: float) -> float:
    """How long a generator takes to start and to make its events, at 0.1 ms each."""
    return 1.0 + rate * seconds * 1e-4


def producer(brokers: str, linger_ms: float = 20.0) -> Producer:
    """A producer as an upstream service has it."""
    return Producer(
        {
            "bootstrap.servers": brokers,
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            "compression.type": "lz4",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 3,
        }
    )
