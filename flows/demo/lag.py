"""What the workers have still before them, by what their groups have committed."""

from collections.abc import Iterable

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from flows.engine.flow import Flow

_PATIENCE_S = 10.0


class Lag:
    """The records between what each flow's group committed and the ends of its topics."""

    def __init__(self, brokers: str, partitions: int, flows: Iterable[Flow]) -> None:
        self._admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        self._places = {
            flow.group: [(topic.name, number) for topic in flow.stages for number in range(partitions)]
            for flow in flows
        }

    def now(self) -> int:
        """In records. What was committed is asked before the ends, so that nothing in between is overlooked."""
        committed = {group: self._committed(group) for group in self._places}
        places = {place for group in self._places.values() for place in group}
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets({TopicPartition(*place): latest for place in places})
        ends = {(at.topic, at.partition): found.result(_PATIENCE_S).offset for at, found in asked.items()}
        return sum(
            ends[place] - committed[group].get(place, 0) for group, held in self._places.items() for place in held
        )

    def _committed(self, group: str) -> dict[tuple[str, int], int]:
        answer = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        found = answer[group].result(_PATIENCE_S).topic_partitions
        return {(at.topic, at.partition): at.offset for at in found if at.offset >= 0}
