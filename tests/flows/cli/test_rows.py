"""Rows that a running worker writes, with one among them that DynamoDB takes at no time."""

import time
import uuid
from collections.abc import Callable

import pytest
from click.testing import Result
from confluent_kafka import Consumer, TopicPartition

from flows.clients import Rows
from flows.settings import Settings
from flows.upstream import Upstream
from schemas import topics
from schemas.keys import partition_of
from schemas.records import Status, encode
from schemas.vocabulary import Step
from tests.watching import eventually

pytestmark = pytest.mark.usefixtures("worker")


def committed(brokers: str, place: TopicPartition) -> int:
    """What the flow of rows has committed of a partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "carillon-record", "enable.auto.commit": False})
    [found] = consumer.committed([place], timeout=10)
    consumer.close()
    return int(found.offset)


def test_a_row_that_the_store_refuses_for_good_holds_up_neither_rows_nor_the_commit(
    carillon: Callable[..., Result], prepared: dict[str, str]
) -> None:
    rows, name = Rows(Settings.from_environment(prepared)), uuid.uuid4().hex
    upstream, ends = Upstream(prepared["CARILLON_KAFKA"]), dict[int, int]()
    names = [f"{name}-0", "x" * 3_000, *(f"{name}-{number}" for number in range(1, 9))]
    home = partition_of(names[0].encode(), 8)
    for each in names:
        status = Status(
            notification_id=each,
            tenant="acme",
            user_id="ada",
            step=Step.SENT,
            at_ms=time.time_ns() // 1_000_000,
            position="notifications.high/0/0",
            accepted_ms=time.time_ns() // 1_000_000,
        )
        upstream.write(
            topics.STATUSES.name,
            each,
            encode(status),
            lambda m: ends.update({m.partition(): m.offset() + 1}),
            partition=home,
        )
    upstream.flush()
    assert carillon("prefer", "--user", name, "--address", "sms=+4917600004711", env=prepared).exit_code == 0
    good = [each for each in names if len(each) < 100]
    assert eventually(lambda: all(rows.get(each) is not None for each in good), 20)
    mine = TopicPartition(topics.STATUSES.name, home)
    assert eventually(lambda: committed(prepared["CARILLON_KAFKA"], mine) >= ends[home], 20)
    assert eventually(lambda: f"acme/{name}" in {item["user_id"]["S"] for item in rows.scan(rows.preferences)}, 20)
