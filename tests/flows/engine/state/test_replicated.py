"""A replicated table on a real topic, and without its broker."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.local.stack import Stack
from flows.cluster import Cluster
from flows.engine.state.replicated import KeyFilter, Replicated
from schemas.sealing import KeyRing
from schemas.topics import Cleanup, Topic
from tables.table import Fold, Kind, Table
from tests.conftest import LIB
from tests.flows.engine.conftest import eventually

RING = KeyRing({1: bytes(32)}, bytes(32))
AS_IT_IS = Fold[bytes | None](
    lambda source: (source.key, source.value), lambda value, standing, ring: standing if value == standing else value
)


def table(topic: str) -> Table:
    source = Topic(topic, "key", None, retention_s=None, cleanup=Cleanup.COMPACT)
    return Table("small", Kind.REPLICATED, source=source, fold=AS_IT_IS)


@pytest.fixture
def topic(kafka: str) -> str:
    """A small topic of three partitions."""
    name = f"small-{uuid.uuid4().hex[:8]}"
    source = table(name).source
    assert source is not None
    Cluster(kafka, 3, 1).apply([source])
    return name


def write(brokers: str, topic: str, entries: dict[bytes, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for key, value in entries.items():
        producer.produce(topic, value, key)
    assert producer.flush(10) == 0


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[[str, str], Replicated]]:
    """Makes started tables."""
    made: list[Replicated] = []

    def start(brokers: str, topic: str) -> Replicated:
        made.append(Replicated(table(topic), tmp_path, brokers, RING))
        made[-1].start()
        return made[-1]

    yield start
    for found in made:
        found.stop()


Follow = Callable[[str, str], Replicated]


def test_it_is_whole_once_every_partition_was_read_to_its_end(kafka: str, topic: str, follow: Follow) -> None:
    write(kafka, topic, {b"k%d" % number: b"v%d" % number for number in range(3_000)})
    found = follow(kafka, topic)
    assert found.wait_whole(20)
    assert [found.get(key) for key in (b"k0", b"k2999", b"none")] == [b"v0", b"v2999", None]
    assert found.get(b"k77") == b"v77"
    assert found.entries() == 3_000


def test_an_empty_topic_is_whole_at_once(kafka: str, topic: str, follow: Follow) -> None:
    assert follow(kafka, topic).wait_whole(20)


def test_a_change_is_seen_within_a_second_without_loading(kafka: str, topic: str, follow: Follow) -> None:
    found = follow(kafka, topic)
    assert found.wait_whole(20)
    write(kafka, topic, {b"k": b"1"})
    eventually(lambda: found.get(b"k") == b"1", 2.0)
    write(kafka, topic, {b"k": None})
    eventually(lambda: found.get(b"k") is None, 2.0)


def test_what_stood_in_the_store_before_a_start_is_found_after_it(kafka: str, topic: str, follow: Follow) -> None:
    write(kafka, topic, {b"k": b"1"})
    first = follow(kafka, topic)
    assert first.wait_whole(20)
    first.stop()
    again = follow(kafka, topic)
    assert again.wait_whole(20)
    assert again.get(b"k") == b"1"


def test_the_filter_knows_every_key_that_was_added_and_hardly_another() -> None:
    keys = KeyFilter()
    for number in range(100_000):
        keys.add(b"there-%d" % number)
    assert all(keys.may_hold(b"there-%d" % number) for number in range(100_000))
    assert sum(keys.may_hold(b"absent-%d" % number) for number in range(100_000)) < 1_500


def test_a_stage_cannot_write_to_it(kafka: str, topic: str, follow: Follow) -> None:
    found = follow(kafka, topic)
    with pytest.raises(TypeError, match=f"write a record to {topic} instead"):
        found[b"k"] = b"v"


def test_it_is_stale_for_ever_until_it_was_read_and_hardly_afterwards(
    kafka: str, topic: str, tmp_path: Path, follow: Follow
) -> None:
    found = Replicated(table(topic), tmp_path / "idle", kafka, RING)
    assert not found.wait_whole(0.1)
    assert found.staleness_s() == float("inf")
    found.stop()
    current = follow(kafka, topic)
    assert current.wait_whole(20)
    first = current._proof.current_at
    assert first is not None
    eventually(lambda: (current._proof.current_at or 0.0) > first + 2.0)
    assert current.staleness_s() < 5.0


def test_with_a_frozen_or_dead_broker_it_grows_stale_keeps_its_entries_and_catches_up(
    tmp_path: Path, follow: Follow
) -> None:
    source = table("small").source
    assert source is not None
    with Stack(tmp_path / "stack", parts=("kafka",), lib=LIB) as stack:
        brokers = stack.addresses.kafka
        Cluster(brokers, 2, 1).apply([source])
        write(brokers, "small", {b"k": b"1"})
        found = follow(brokers, "small")
        assert found.wait_whole(20)
        os.kill(stack.pids()["kafka"], signal.SIGSTOP)
        eventually(lambda: found.staleness_s() > 4.0 and found.silent_s() > 4.0)
        os.kill(stack.pids()["kafka"], signal.SIGCONT)
        eventually(lambda: found.staleness_s() < 3.0 and found.silent_s() < 3.0)
        stack.kill("kafka")
        eventually(lambda: found.staleness_s() > 4.0)
        assert found.get(b"k") == b"1"
        stack.revive("kafka")
        write(brokers, "small", {b"k": b"2"})
        eventually(lambda: found.get(b"k") == b"2" and found.staleness_s() < 3.0)
        found.stop()


def test_a_missing_topic_ends_the_process_and_says_what_to_do(kafka: str, tmp_path: Path) -> None:
    program = f"""
import pathlib, time
from flows.engine.state.replicated import Replicated
from flows.logs import configure
from schemas.sealing import KeyRing
from schemas.topics import Topic
from tables.table import Fold, Kind, Table

configure()
fold = Fold(lambda source: None, lambda said, standing, ring: standing)
table = Table("small", Kind.REPLICATED, source=Topic("not-there", "key", None), fold=fold)
Replicated(table, pathlib.Path({str(tmp_path)!r}), {kafka!r}, KeyRing({{1: bytes(32)}}, bytes(32))).start()
time.sleep(20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "run `carillon topics apply`" in done.stderr


def test_whatever_is_raised_while_it_is_followed_ends_the_process(tmp_path: Path) -> None:
    program = f"""
import pathlib, time
from flows.engine.state.replicated import Replicated
from flows.logs import configure
from schemas.sealing import KeyRing
from schemas.topics import Topic
from tables.table import Fold, Kind, Table

configure()
fold = Fold(lambda source: None, lambda said, standing, ring: standing)
table = Table("small", Kind.REPLICATED, source=Topic("not-there", "key", None), fold=fold)
followed = Replicated(table, pathlib.Path({str(tmp_path)!r}), "127.0.0.1:1", KeyRing({{1: bytes(32)}}, bytes(32)))
followed._read = lambda: {{}}["a secret that no log may show"]
followed.start()
time.sleep(20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70
    assert "the replicated table small cannot be read" in done.stderr
    assert "a secret" not in done.stderr
