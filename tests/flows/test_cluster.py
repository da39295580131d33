"""Topics planned and applied on a real cluster."""

import uuid

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from flows.cluster import Cluster, Need
from schemas.errors import Misconfigured, TopicsDiffer
from schemas.topics import Cleanup, Topic
from tests.watching import eventually

Found = dict[str, str]


@pytest.fixture
def topic() -> Topic:
    """A topic that nobody else has."""
    return Topic(f"planned-{uuid.uuid4().hex[:8]}", "key", None, retention_s=3600, append_time=True, segment_s=600)


def configuration(brokers: str, topic: Topic) -> Found:
    resource = ConfigResource(ResourceType.TOPIC, topic.name)
    admin = AdminClient({"bootstrap.servers": brokers})
    found = admin.describe_configs([resource])[resource].result(10)
    return {name: entry.value for name, entry in found.items()}


def needs(cluster: Cluster, *topics: Topic) -> list[tuple[str, Need]]:
    return [(change.topic.name, change.need) for change in cluster.plan(topics)]


def test_a_missing_topic_is_planned_and_planning_makes_nothing(kafka: str, topic: Topic) -> None:
    cluster = Cluster(kafka, 2, 1)
    assert needs(cluster, topic) == [(topic.name, Need.CREATE)]
    assert needs(cluster, topic) == [(topic.name, Need.CREATE)]


def test_applying_creates_it_as_the_catalogue_says_and_leaves_nothing_to_do(kafka: str, topic: Topic) -> None:
    cluster = Cluster(kafka, 2, 1)
    assert [change.need for change in cluster.apply([topic])] == [Need.CREATE]
    found = configuration(kafka, topic)
    assert {name: found[name] for name in topic.settings()} == topic.settings()
    assert (found["retention.ms"], found["message.timestamp.type"]) == ("3600000", "LogAppendTime")
    metadata = AdminClient({"bootstrap.servers": kafka}).list_topics(topic.name, timeout=10)
    assert len(metadata.topics[topic.name].partitions) == 2
    assert cluster.apply([topic]) == []


def test_a_topic_that_is_set_otherwise_is_configured_and_what_we_do_not_name_is_left_alone(
    kafka: str, topic: Topic
) -> None:
    cluster = Cluster(kafka, 2, 1)
    cluster.apply([topic])
    wanted = Topic(topic.name, "key", None, retention_s=None, cleanup=Cleanup.COMPACT)
    assert eventually(lambda: cluster.plan([topic]) == [], 10.0), "a new topic is known to its broker after a while"
    [change] = cluster.plan([wanted])
    assert change.need is Need.CONFIGURE
    assert "cleanup.policy=compact" in change.what
    assert "retention.ms=-1" in change.what
    cluster.apply([wanted])
    found = configuration(kafka, topic)
    assert (found["cleanup.policy"], found["retention.ms"], found["segment.ms"]) == ("compact", "-1", "600000")
    assert cluster.plan([wanted]) == []


def test_a_changed_partition_count_is_refused_and_then_nothing_at_all_is_applied(kafka: str, topic: Topic) -> None:
    Cluster(kafka, 2, 1).apply([topic])
    other = Topic(f"{topic.name}-new", "key", None)
    cluster = Cluster(kafka, 3, 1)
    assert needs(cluster, topic, other) == [(topic.name, Need.REFUSE), (other.name, Need.CREATE)]
    with pytest.raises(TopicsDiffer, match=f"topics {topic.name} have 2 partitions; CARILLON_PARTITIONS says 3"):
        cluster.apply([topic, other])
    assert needs(Cluster(kafka, 3, 1), other) == [(other.name, Need.CREATE)]


def test_a_cluster_that_does_not_answer_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("127.0.0.1:1", 2, 1)
    answer = cluster._admin.list_topics
    monkeypatch.setattr(cluster, "_admin", Hasty(answer))
    with pytest.raises(Misconfigured, match=r"no broker answers at 127\.0\.0\.1:1 \(CARILLON_KAFKA\)"):
        cluster.plan([])


class Hasty:
    """The admin client of a cluster, with less patience."""

    def __init__(self, list_topics: object) -> None:
        self._list_topics = list_topics

    def list_topics(self, timeout: float) -> object:
        """The topics, or its own error after half a second."""
        return self._list_topics(timeout=0.5)  # type: ignore[operator]
