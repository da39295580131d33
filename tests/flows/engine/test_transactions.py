"""Upstream producers that write in transactions: their markers take offsets, and what they abort was never said."""

import json

import pytest
from confluent_kafka import Producer

from schemas.topics import Topic
from tests.flows.engine.conftest import Toy, eventually


@pytest.fixture
def writer(toy: Toy) -> Producer:
    """A producer within transactions."""
    producer = Producer({"bootstrap.servers": toy.brokers, "transactional.id": toy.name})
    producer.init_transactions(20)
    return producer


def write(producer: Producer, topic: Topic, *ids: int) -> None:
    for number in ids:
        producer.produce(topic.name, json.dumps({"id": number}).encode(), b"k%d" % number, partition=0)


def test_markers_leave_no_hole_and_no_lag(toy: Toy, writer: Producer) -> None:
    worker = toy.start()
    for number in range(3):
        writer.begin_transaction()
        write(writer, toy.topics.asked, number)
        writer.commit_transaction(20)
    toy.await_ids(range(3))
    eventually(lambda: toy.committed()[0] == 5)
    assert toy.ends()[0] == 6
    eventually(lambda: worker.metric("engine_lag_records") == 0)


def test_what_was_aborted_is_not_run(toy: Toy, writer: Producer) -> None:
    toy.start()
    writer.begin_transaction()
    write(writer, toy.topics.asked, 1)
    assert writer.flush(10) == 0
    writer.abort_transaction(20)
    writer.begin_transaction()
    write(writer, toy.topics.asked, 2)
    writer.commit_transaction(20)
    toy.await_ids([2])
    assert toy.ids() == [2]


def test_a_log_that_ends_in_a_marker_or_an_open_transaction_is_restored_to_its_end(toy: Toy, writer: Producer) -> None:
    writer.begin_transaction()
    writer.produce(toy.topics.side.name, b"known", b"k", partition=0)
    writer.commit_transaction(20)
    writer.begin_transaction()
    writer.produce(toy.topics.side.name, b"not yet", b"k", partition=0)
    writer.flush(10)
    toy.start()
    toy.await_ids(toy.ask({}, key="k", partition=0))
    assert toy.told()[0]["side"] == "known"
    writer.abort_transaction(20)
