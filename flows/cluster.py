"""The topics in the cluster, held against the catalogue: plan says what differs, apply mends what it may."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.errors import TopicsDiffer, Unreachable
from schemas.topics import Topic


class Need(StrEnum):
    """What a topic needs."""

    CREATE = "create"
    CONFIGURE = "configure"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan; `partitions` is how many a refused topic has."""

    topic: Topic
    need: Need
    what: str
    partitions: int = 0


class Cluster:
    """A Kafka cluster, seen through its admin API."""

    def __init__(self, brokers: str, partitions: int, replication: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        self._partitions, self._replication, self._brokers = partitions, replication, brokers

    def plan(self, wanted: Iterable[Topic]) -> list[Change]:
        """What differs. A changed partition count is refused: keys would leave their tables (README, Scaling)."""
        try:
            known = self._admin.list_topics(timeout=15).topics
        except KafkaException as error:
            words = error.args[0].str()
            raise Unreachable(f"no broker answers at {self._brokers} (CARILLON_KAFKA): {words}") from None
        changes, existing = [], []
        for topic in wanted:
            found = known.get(topic.name)
            if found is None:
                changes.append(Change(topic, Need.CREATE, f"{self._partitions} partitions"))
            elif len(found.partitions) != self._partitions:
                what = f"has {len(found.partitions)} partitions, the environment {self._partitions}"
                changes.append(Change(topic, Need.REFUSE, what, len(found.partitions)))
            else:
                existing.append(topic)
        return changes + self._configurations(existing)

    def _configurations(self, topics: list[Topic]) -> list[Change]:
        resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
        described = self._admin.describe_configs(list(resources.values())) if resources else {}
        found = {resource.name: future.result(15) for resource, future in described.items()}
        changes = []
        for topic in topics:
            differs = [
                f"{name}={value}"
                for name, value in topic.settings().items()
                if name in found[topic.name] and found[topic.name][name].value != value
            ]
            if differs:
                changes.append(Change(topic, Need.CONFIGURE, ", ".join(differs)))
        return changes

    def apply(self, wanted: Iterable[Topic]) -> list[Change]:
        """Create and configure what the plan names; returns it. Raises TopicsDiffer where counts differ."""
        changes = self.plan(wanted)
        refused = {change.topic.name: change.partitions for change in changes if change.need is Need.REFUSE}
        if refused:
            raise TopicsDiffer.of(refused, self._partitions)
        new = [
            NewTopic(c.topic.name, self._partitions, self._replication, config=c.topic.settings())
            for c in changes
            if c.need is Need.CREATE
        ]
        futures = list(self._admin.create_topics(new, operation_timeout=30).values()) if new else []
        altered = [
            ConfigResource(
                ResourceType.TOPIC,
                c.topic.name,
                incremental_configs=[
                    ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                    for name, value in c.topic.settings().items()
                ],
            )
            for c in changes
            if c.need is Need.CONFIGURE
        ]
        futures += list(self._admin.incremental_alter_configs(altered).values()) if altered else []
        for future in futures:
            future.result(60)
        return changes
