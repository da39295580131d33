"""What the chaos runs share: a stack of their own, workers that can be hurt, and a view of the cluster from outside."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from deploy.local import accounts
from deploy.local.children import Child, Nursery
from deploy.local.servers import Part
from deploy.local.stack import Stack
from flows import roster
from flows.clients import Templates
from flows.cluster import Cluster
from flows.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PARTITIONS = 8
READY_S = 60.0
END_S = 20.0
"""How long a worker may take to end after SIGTERM: the longest drain and a margin for a busy machine."""

TEMPLATE = {
    "version": 1,
    "channels": {
        "sms": {"body": "Code {{code}}"},
        "email": {"subject": "A code", "body": "Code {{code}}"},
        "push": {"title": "A code", "body": "{{code}}"},
    },
}


class ChaosError(Exception):
    """A run cannot go on; the message says what was met."""


def option(name: str, default: int) -> int:
    """A whole number from the environment, where `make TARGET NAME=n` puts it."""
    return int(os.environ.get(name, default))


def log(text: str) -> None:
    """A line for whoever watches the run."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


class Worker:
    """One worker process with a stable id and a state folder, which outlive its deaths."""

    def __init__(self, name: str, flows: Sequence[str], folder: Path, nursery: Nursery) -> None:
        self.name, self.flows = name, list(flows)
        self._folder, self._nursery = folder, nursery
        self._child: Child | None = None
        self._starts = 0

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and self._child.alive()

    def start(self) -> None:
        """Start its process; `wait_ready` tells when it works."""
        self._starts += 1
        environment = {
            "CARILLON_WORKER": self.name,
            "CARILLON_STATE": str(self._folder / "state" / self.name),
            "CARILLON_METRICS_PORT": "0",
            "PYTHONPATH": str(REPOSITORY),
        }
        self._child = self._nursery.spawn(
            self.name,
            [sys.executable, str(Path(__file__).with_name("worker.py")), *self.flows],
            self._folder / "logs" / f"{self.name}.{self._starts}.log",
            environment=environment,
            cwd=REPOSITORY,
        )

    def wait_ready(self) -> float:
        """Wait until every flow has its partitions; returns the seconds it took. Raises ChaosError."""
        began = time.monotonic()
        assert self._child is not None
        while self._child.log.read_bytes().count(b'"flow_ready"') < len(self.flows):
            self.check()
            if time.monotonic() - began > READY_S:
                raise ChaosError(f"{self.name} was not ready in {READY_S:.0f} s:\n{self._child.tail()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def check(self) -> None:
        """Raise ChaosError, with the end of its log, if it has ended by itself."""
        if self._child is not None and not self._child.alive():
            raise ChaosError(self._child.obituary())

    def kill(self, *, wipe: bool = False) -> None:
        """SIGKILL; `wipe` loses its local state too, as when its machine is gone."""
        assert self._child is not None
        self.check()
        self._child.process.kill()
        self._child.process.wait()
        self._child = None
        if wipe:
            shutil.rmtree(self._folder / "state" / self.name, ignore_errors=True)

    def stall(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`: the group may have given its partitions away in between."""
        assert self._child is not None
        self._child.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._child.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, and wait for an orderly end. Raises ChaosError if it does not come or is none."""
        child, self._child = self._child, None
        assert child is not None
        child.process.send_signal(signal.SIGTERM)
        try:
            code = child.process.wait(END_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            raise ChaosError(f"{self.name} had not ended {END_S:.0f} s after SIGTERM:\n{child.tail()}") from None
        # Before a process listens for it, SIGTERM simply ends it, as it does once its work has ended in order.
        told = child.log.read_bytes()
        idle = b'"process_started"' not in told or b'"process_ended"' in told
        if code != 0 and not (idle and code == -signal.SIGTERM):
            raise ChaosError(child.obituary())


class Rig:
    """A stack on empty data with every topic, and the workers of one run. Everything is gone when it is left."""

    def __init__(self, parts: Sequence[Part] = ("kafka",), *, large: bool = False, keep: bool = False) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="carillon-chaos-"))
        self._keep = keep or bool(os.environ.get("KEEP"))
        pace, lib = ("steady" if large else "quick"), REPOSITORY / ".carillon" / "lib"
        self.stack = Stack(self._root, fresh=True, keep=False, parts=parts, jvm=pace, lib=lib)  # type: ignore[arg-type]
        self._nursery = Nursery()
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        addresses = self.stack.start()
        self.brokers = addresses.kafka
        os.environ.update(addresses.environment() | accounts.environment())
        os.environ.update({
            "CARILLON_KEYS": f"1:{base64.b64encode(os.urandom(32)).decode()}",
            "CARILLON_INDEX_KEY": base64.b64encode(os.urandom(32)).decode(),
            "CARILLON_TWILIO_CALLBACK_URL": "https://carillon.example.com/callbacks/twilio",
        })  # fmt: skip
        self.settings = Settings.from_environment()
        Cluster(self.brokers, PARTITIONS, 1).apply(roster.topics())
        self._admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 2})
        if addresses.s3:
            templates = Templates(self.settings)
            templates.make_bucket()
            templates.publish("code", 1, json.dumps(TEMPLATE).encode())
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.running:
                worker.kill()
        self._nursery.close()
        self.stack.stop()
        if not self._keep:
            shutil.rmtree(self._root, ignore_errors=True)

    def worker(self, name: str, *flows: str) -> Worker:
        """A new worker, started."""
        made = Worker(name, flows, self._root, self._nursery)
        self.workers.append(made)
        made.start()
        return made

    def producer(self, linger_ms: int = 5) -> Producer:
        """A producer as an upstream service has it."""
        return Producer({
            "bootstrap.servers": self.brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2_000_000,
            "log_level": 2,
        })  # fmt: skip

    # -- the cluster from outside ----------------------------------------------------------------------------------

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The log end of every partition."""
        wanted = {
            TopicPartition(topic, number): OffsetSpec.latest() for topic in topics for number in range(PARTITIONS)
        }
        return {
            (p.topic, p.partition): future.result(10).offset for p, future in self._admin.list_offsets(wanted).items()
        }

    def committed(self, flow: str) -> dict[tuple[str, int], int]:
        """What a flow's group has committed."""
        request = ConsumerGroupTopicPartitions(f"carillon-{flow}")
        (future,) = self._admin.list_consumer_group_offsets([request]).values()
        return {(p.topic, p.partition): p.offset for p in future.result(10).topic_partitions}

    def lag(self, flows: Mapping[str, Sequence[str]]) -> dict[tuple[str, str, int], tuple[int, int]]:
        """(committed, end) of each (flow, topic, partition) whose commit is not at the log's end."""
        behind = {}
        for flow, topics in flows.items():
            committed = self.committed(flow)
            for place, end in self.ends(topics).items():
                if end > max(0, committed.get(place, 0)):
                    behind[flow, *place] = (committed.get(place, 0), end)
        return behind

    def drain(self, flows: Iterable[str], limit_s: float) -> float:
        """Wait until every commit of these flows stands at its log's end, seen twice; returns the seconds it took.

        Raises ChaosError, with what lags, when it takes longer or a worker ends by itself.
        """
        began, seen = time.monotonic(), None
        means = roster.Means(self.settings)
        reads = {name: [topic.name for topic in roster.FLOWS[name].build(means).stages] for name in flows}
        every = sorted({topic for topics in reads.values() for topic in topics})
        while True:
            ends, behind = self.ends(every), self.lag(reads)
            if not behind and ends == seen:
                return time.monotonic() - began
            seen = None if behind else ends
            for worker in self.workers:
                worker.check()
            if time.monotonic() - began > limit_s:
                raise ChaosError(f"commits are not at the end after {limit_s:.0f} s (committed, end): {behind}")
            time.sleep(0.25)

    def read(self, topic: str) -> Iterator[Message]:
        """Every record of a topic, each partition in its order."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "chaos-audit", "log_level": 2})
        left = {number: end for (_, number), end in self.ends([topic]).items() if end}
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        deadline = time.monotonic() + 300
        while left:
            if time.monotonic() > deadline:
                raise ChaosError(f"{topic} could not be read to its end")
            for message in consumer.consume(10_000, 0.5):
                if message.error() is None:
                    yield message
                    if message.offset() + 1 >= left.get(message.partition(), 0):
                        left.pop(message.partition(), None)
        consumer.close()

    # -- the sandbox -----------------------------------------------------------------------------------------------

    def behave(self, latency_ms: int) -> None:
        """Let every provider answer after `latency_ms`."""
        wish = {"provider": "*", "rules": [{"latency_ms": latency_ms}]}
        address = f"{self.stack.addresses.sandbox}/admin/behave"
        with urllib.request.urlopen(urllib.request.Request(address, json.dumps(wish).encode()), timeout=10):
            return

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call the sandbox has read, from row `since` on."""
        address = f"{self.stack.addresses.sandbox}/admin/ledger?since={since}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return list(json.load(answer)["rows"])
