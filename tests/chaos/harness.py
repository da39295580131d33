"""What the chaos runs share: a stack of their own, workers that can be hurt, and a view of the cluster from outside."""

import base64
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import boto3
from accepted import Load
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from victims import REPOSITORY, ChaosError, Worker

from deploy.local import accounts
from deploy.local.children import Nursery
from deploy.local.servers import Part
from deploy.local.stack import Stack
from flows import roster
from flows.clients import Rows
from flows.cluster import Cluster
from flows.settings import Settings
from flows.templates import Templates

PARTITIONS = 8

TEMPLATE = {
    "version": 1,
    "channels": {
        "sms": {"body": "Code {{code}}"},
        "email": {"subject": "A code", "body": "Code {{code}}"},
        "push": {"title": "A code", "body": "{{code}}"},
    },
}
BROKEN_TEMPLATE_ID = "broken"
BROKEN_TEMPLATE = {
    "version": 1,
    "channels": {
        "sms": {"body": "Hello {{=x=}}"},
        "email": {"subject": "A code", "body": "Code {{code"},
        "push": {"title": "A code", "body": "{{#code}}"},
    },
}
"""What no parser takes, put into the bucket by hand."""


def log(text: str) -> None:
    """A line for whoever watches the run."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def eventually(holds: Callable[[], object], limit_s: float) -> bool:
    """Whether something comes to hold within that time."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class Rig:
    """A stack on empty data with every topic, and the workers of one run. Everything is gone when it is left."""

    def __init__(
        self,
        parts: Sequence[Part] = ("kafka",),
        *,
        large: bool = False,
        keep: bool = False,
        detour: int | None = None,
        brokers: Callable[[Path], AbstractContextManager[str]] | None = None,
    ) -> None:
        """`brokers` starts others in a folder, in place of the stack's one, and gives their addresses."""
        self.folder = Path(tempfile.mkdtemp(prefix="carillon-chaos-"))
        self._others = brokers(self.folder) if brokers else None
        self._keep = keep or bool(os.environ.get("KEEP"))
        pace, lib = ("steady" if large else "quick"), REPOSITORY / ".carillon" / "lib"
        self.stack = Stack(self.folder, fresh=True, keep=False, parts=parts, jvm=pace, lib=lib, detour=detour)  # type: ignore[arg-type]
        self._nursery = Nursery()
        self.workers: list[Worker] = []
        self._asking: dict[str, Consumer] = {}
        """Consumers that ask about a group and never join it."""

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
        addresses = self.stack.start()
        self.brokers = self._others.__enter__() if self._others else addresses.kafka
        os.environ.update(addresses.environment() | accounts.environment())
        os.environ["CARILLON_KAFKA"] = self.brokers
        os.environ.update({
            "CARILLON_KEYS": f"1:{base64.b64encode(os.urandom(32)).decode()}",
            "CARILLON_INDEX_KEY": base64.b64encode(os.urandom(32)).decode(),
            "CARILLON_TWILIO_CALLBACK_URL": "https://carillon.example.com/callbacks/twilio",
        })  # fmt: skip
        self.settings = Settings.from_environment()
        self._means = roster.Means(self.settings)
        self.apply_topics()
        self._admin = self.new_admin()
        if addresses.s3:
            templates = Templates(self.settings)
            templates.make_bucket()
            templates.publish("code", 1, json.dumps(TEMPLATE).encode())
            self._put_broken_template()
        if addresses.dynamodb:
            Rows(self.settings).make_tables()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.running:
                worker.kill()
        self._nursery.close()
        for consumer in self._asking.values():
            consumer.close()
        if self._others:
            self._others.__exit__(None, None, None)
        self.stack.stop()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _put_broken_template(self) -> None:
        """Put a template into the bucket past `publish`, which refuses it."""
        settings = self.settings
        bucket = boto3.resource("s3", endpoint_url=settings.s3, region_name=settings.region).Bucket(settings.bucket)
        bucket.put_object(Key=f"{BROKEN_TEMPLATE_ID}/latest.json", Body=json.dumps(BROKEN_TEMPLATE).encode())

    def apply_topics(self) -> None:
        """Make every topic of the catalogue, or set it up again as it says."""
        Cluster(self.brokers, PARTITIONS, 3 if self._others else 1).apply(roster.topics())

    def worker(
        self,
        name: str,
        *flows: str,
        plants: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        script: str = "worker.py",
    ) -> Worker:
        """A new worker, started, with these faults planted in it at every start.

        `environment` goes over the settings of this stack.
        """
        made = Worker(name, flows, self.folder, self._nursery, environment, script)
        made.plants += plants
        self.workers.append(made)
        made.start()
        return made

    def load(self, *, seed: int, rate: float, seconds: float, users: int, plain: bool = False) -> Load:
        """The load client, started. Several loads of one run are told in one ledger."""
        ledger = self.folder / "accepted.jsonl"
        return Load(self._nursery, ledger, seed=seed, rate=rate, seconds=seconds, users=users, plain=plain)

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
        return self._offsets(topics, OffsetSpec.latest())

    def _offsets(self, topics: Iterable[str], which: OffsetSpec) -> dict[tuple[str, int], int]:
        wanted = {TopicPartition(topic, number): which for topic in topics for number in range(PARTITIONS)}
        try:
            return self._asked(wanted)
        except KafkaException:
            # To a broker that came back, a client may name its epoch of before for ever: one that is new does not.
            self._admin = self.new_admin()
            return self._asked(wanted)

    def _asked(self, wanted: dict[TopicPartition, OffsetSpec]) -> dict[tuple[str, int], int]:
        found = self._admin.list_offsets(wanted)
        return {(place.topic, place.partition): future.result(10).offset for place, future in found.items()}

    def new_admin(self) -> AdminClient:
        """A client that knows nothing of the brokers yet."""
        return AdminClient({"bootstrap.servers": self.brokers, "log_level": 2})

    def reads(self, flow: str) -> list[str]:
        """The topics of a flow's stages."""
        return [topic.name for topic in roster.FLOWS[flow].build(self._means).stages]

    def committed(self, flow: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """What a flow's group has committed, negative where nothing. Raises KafkaException.

        Asked of a consumer that never joins: the admin client of librdkafka crashes where a broker that has just come
        back does not yet coordinate the group.
        """
        if flow not in self._asking:
            settings = {"bootstrap.servers": self.brokers, "group.id": f"carillon-{flow}", "log_level": 2}
            self._asking[flow] = Consumer(settings | {"enable.auto.commit": False})
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        return {(p.topic, p.partition): p.offset for p in self._asking[flow].committed(places, timeout=10)}

    def lag(self, flows: Mapping[str, Sequence[str]]) -> dict[tuple[str, str, int], tuple[int, int]]:
        """(committed, end) of each (flow, topic, partition) whose commit is not at the log's end."""
        behind = {}
        for flow, topics in flows.items():
            committed = self.committed(flow, topics)
            for place, end in self.ends(topics).items():
                if end > max(0, committed.get(place, 0)):
                    behind[flow, *place] = (committed.get(place, 0), end)
        return behind

    def drain(self, flows: Iterable[str], limit_s: float, *, kept: bool = False) -> float:
        """Wait until every commit of these flows stands at its log's end, seen twice; returns the seconds it took.

        Raises ChaosError, with what lags, when it takes longer or a worker ends by itself that is not `kept` running.
        """
        began, seen = time.monotonic(), None
        reads = {flow: self.reads(flow) for flow in flows}
        every = sorted({topic for topics in reads.values() for topic in topics})
        while True:
            try:
                ends, behind = self.ends(every), dict[Any, Any](self.lag(reads))
            except (KafkaException, TimeoutError) as error:  # a broker that has just come back
                ends, behind = {}, {"brokers": repr(error)}
            if not behind and ends == seen:
                return time.monotonic() - began
            seen = None if behind else ends
            for worker in [] if kept else self.workers:
                worker.check()
            if time.monotonic() - began > limit_s:
                raise ChaosError(f"commits are not at the end after {limit_s:.0f} s (committed, end): {behind}")
            time.sleep(0.25)

    def read(self, topic: str) -> Iterator[Message]:
        """Every record of a topic that is still there, each partition in its order."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "chaos-audit", "log_level": 2})
        starts = self._offsets([topic], OffsetSpec.earliest())
        left = {place[1]: end for place, end in self.ends([topic]).items() if end > starts[place]}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
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

    def behave(self, *rules: dict[str, Any], provider: str = "*") -> None:
        """Give a provider (* for all) these rules."""
        wish = {"provider": provider, "rules": rules}
        address = f"{self.stack.addresses.sandbox}/admin/behave"
        with urllib.request.urlopen(urllib.request.Request(address, json.dumps(wish).encode()), timeout=10):
            return

    def called(self) -> int:
        """How many calls the sandbox has read."""
        with urllib.request.urlopen(f"{self.stack.addresses.sandbox}/admin/counts", timeout=10) as answer:
            return int(json.load(answer)["ledger_total"])

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call the sandbox has read, from row `since` on."""
        address = f"{self.stack.addresses.sandbox}/admin/ledger?since={since}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return list(json.load(answer)["rows"])
