"""The servers and networks around the workers of a scene: stopped, started, set otherwise, slow or cut off."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from harness import Rig, eventually, log
from proxy import FAIR, Proxy
from small_disk import small_disk
from victims import ChaosError

from deploy.local.ports import Reservation
from deploy.local.servers import Part
from deploy.local.stack import StackError

USUAL = {"latency_ms": {"p50": 20, "p99": 80}}
"""How providers answer when nothing is wrong."""
SLOW_MS = 200
GATHER_S = 2.0
"""How long slow calls gather before anything strikes."""
COORDINATES_S = 15.0
"""How long a broker may take, once it answers, until it has loaded the offsets of every group."""


class Servers:
    """A stack that runs, with a proxy before its brokers and one before its store."""

    def __init__(self, rig: Rig | None = None, *, small_disk: bool = False) -> None:
        """A stack of its own, or that of `rig`, whose brokers have no proxy then."""
        with Reservation(("kafka proxy", "dynamodb proxy"), {}) as held:
            ports = held.ports
        self.kafka, self.dynamodb = Proxy(ports["kafka proxy"]), Proxy(ports["dynamodb proxy"])
        self._proxied = rig is None
        self.rig = rig or Rig(("kafka", "dynamodb", "s3", "sandbox"), detour=self.kafka.port)
        self._small_disk = small_disk

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            for proxy in (self.kafka, self.dynamodb):
                exits.enter_context(proxy)
            if self._small_disk:
                exits.enter_context(small_disk(self.disk))
            exits.enter_context(self.rig)
            self.dynamodb.to = int(self.rig.settings.dynamodb.rpartition(":")[2])
            self.admin = self.rig.new_admin()
            self.usual()
            if self._proxied:
                self.kafka.to = self.rig.stack.aside
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def by_proxy(self) -> dict[str, str]:
        """A worker's environment for coming to the brokers by the proxy."""
        return {"CARILLON_KAFKA": f"127.0.0.1:{self.kafka.port}"} if self._proxied else {}

    @property
    def store_by_proxy(self) -> dict[str, str]:
        """A worker's environment for coming to the store by the proxy."""
        return {"CARILLON_DYNAMODB": f"http://127.0.0.1:{self.dynamodb.port}"}

    @property
    def disk(self) -> Path:
        """Where the broker keeps its logs."""
        return self.rig.folder / ".carillon" / "data" / "kafka"

    def stopped(self, part: Part, *, stop: bool) -> None:
        """SIGSTOP to a server, or SIGCONT."""
        os.kill(self.rig.stack.pids()[part], signal.SIGSTOP if stop else signal.SIGCONT)

    def revive_broker(self) -> None:
        """Start the broker on what it has, and see that it coordinates every group.

        After a crash it may fail to load a part of its offsets, and does not try again: then it is started once more,
        as its operator would. Raises ChaosError where that does not help.
        """
        for _ in range(3):
            self.rig.stack.revive("kafka")
            if eventually(self._coordinates, COORDINATES_S):
                return
            log("the broker does not coordinate every group, and is started once more")
            self.rig.stack.kill("kafka")
        raise ChaosError("the broker does not come to coordinate every group")

    def _coordinates(self) -> bool:
        try:
            for flow in {flow for worker in self.rig.workers for flow in worker.flows}:
                self.rig.committed(flow, self.rig.reads(flow))
        except (KafkaException, TimeoutError):
            return False
        return True

    def broker_gone(self) -> bool:
        """Whether the broker's process has ended."""
        try:
            self.rig.stack.check()
        except StackError:
            return True
        return False

    def forget_group(self, flow: str) -> bool:
        """Delete a group with its offsets; False while it still has members."""
        try:
            self.admin.delete_consumer_groups([f"carillon-{flow}"])[f"carillon-{flow}"].result(10)
        except (KafkaException, TimeoutError):
            return False
        return True

    @contextmanager
    def configured(self, topics: Sequence[str], settings: dict[str, str]) -> Iterator[None]:
        """Topics with other settings; the catalogue's again at the end."""
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
        wanted = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries) for topic in topics]
        for future in self.admin.incremental_alter_configs(wanted).values():
            future.result(10)
        yield
        self.rig.apply_topics()

    def compacted(self, topic: str) -> bool:
        """Whether records have been taken out of a topic's log. Nothing else makes holes in it."""
        appended = sum(self.rig.ends([topic]).values())
        return sum(1 for _ in self.rig.read(topic)) < appended

    def behave(self, provider: str, *rules: dict[str, Any]) -> None:
        """Give a provider (* for all) these rules, ahead of its usual ones."""
        self.rig.behave(*({**USUAL, **rule} for rule in rules), USUAL, provider=provider)

    @contextmanager
    def answering(self, draw: Random, rules: Mapping[str, Sequence[dict[str, Any]]]) -> Iterator[None]:
        """One of these providers goes by its rules, as long as this lasts."""
        provider = draw.choice(list(rules))
        self.behave(provider, *rules[provider])
        yield
        self.behave("*")

    @contextmanager
    def slow_calls(self) -> Iterator[None]:
        """Every call takes long, so that many are under way."""
        self.behave("*", {"latency_ms": SLOW_MS})
        time.sleep(GATHER_S)
        yield
        self.behave("*")

    def usual(self) -> None:
        """Every network fair, every provider well."""
        self.kafka.set(FAIR)
        self.dynamodb.set(FAIR)
        self.behave("*")
