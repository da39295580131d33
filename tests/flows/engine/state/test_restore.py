"""Stores brought up to the end of real logs."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.cluster import Cluster
from flows.engine.state.changelog import pack
from flows.engine.state.restore import Log, restore
from flows.engine.state.store import Store
from schemas.errors import LogRecreated
from schemas.keys import at
from schemas.sealing import KeyRing
from schemas.topics import Topic
from tables.table import Fold, Source

RING = KeyRing({1: bytes(32)}, bytes(32))


class Logged:
    """A log of one partition, its writer, and a store to restore."""

    def __init__(self, brokers: str, folder: Path, keep_s: int | None = None) -> None:
        self.brokers, self.name = brokers, f"log-{uuid.uuid4().hex[:8]}"
        Cluster(brokers, 1, 1).apply([Topic(self.name, "key", None)])
        self.store = Store(folder / self.name, keep_s, 0.0)
        self._producer = Producer({"bootstrap.servers": brokers})
        self.left: list[int] = []
        self.counted: list[int] = []

    def batch(self, entries: dict[bytes, bytes | None], at_s: float | None = None) -> None:
        """Write what a batch changed, as a changelog has it."""
        for value in pack(entries):
            self.record(None, value, at_s)

    def record(self, key: bytes | None, value: bytes | None, at_s: float | None = None) -> None:
        """Write one record."""
        self._producer.produce(self.name, value, key, 0, timestamp=int((at_s or time.time()) * 1000))
        assert self._producer.flush(10) == 0

    def restore(self, fold: Fold[Any] | None = None, cancelled: Callable[[], bool] = lambda: False) -> bool:
        log = Log(self.name, 0, self.store, fold)
        counted = lambda topic, entries: self.counted.append(entries)  # noqa: E731
        return restore(self.brokers, [log], RING, self.left.append, counted, cancelled)


@pytest.fixture
def logged(kafka: str, tmp_path: Path) -> Logged:
    """An empty log."""
    return Logged(kafka, tmp_path)


def test_an_empty_log_leaves_an_empty_store(logged: Logged) -> None:
    assert logged.restore()
    assert (logged.store.entries(), logged.store.offset(0)) == (0, None)


def test_a_changelog_is_read_to_its_end_and_the_last_entry_of_a_key_stays(logged: Logged) -> None:
    logged.batch({b"a": b"1", b"b": b"1"})
    logged.batch({b"a": b"2", b"b": None})
    assert logged.restore()
    assert logged.store.get_many([b"a", b"b"]) == [b"2", None]
    assert (logged.store.offset(0), logged.left[-1], sum(logged.counted)) == (2, 0, 4)


def test_a_store_goes_on_from_its_offset(logged: Logged) -> None:
    logged.batch({b"before": b"1"})
    logged.batch({b"after": b"1"})
    logged.store.write({}, {0: 1})
    logged.restore()
    assert logged.store.get_many([b"before", b"after"]) == [None, b"1"]


def test_a_store_that_has_everything_reads_nothing(logged: Logged) -> None:
    logged.batch({b"a": b"1"})
    logged.restore()
    logged.counted.clear()
    assert logged.restore()
    assert logged.counted == []


def test_a_position_below_the_start_of_the_log_begins_at_the_earliest(logged: Logged) -> None:
    for number in range(5):
        logged.batch({b"k%d" % number: b"1"})
    admin = AdminClient({"bootstrap.servers": logged.brokers})
    place = TopicPartition(logged.name, 0, 3)
    admin.delete_records([place])[place].result(10)
    logged.store.write({}, {0: 1})
    assert logged.restore()
    assert logged.store.get_many([b"k1", b"k3", b"k4"]) == [None, b"1", b"1"]
    assert logged.store.offset(0) == 5


def test_a_log_whose_every_record_has_expired_is_no_hindrance(logged: Logged) -> None:
    logged.batch({b"a": b"1"})
    admin = AdminClient({"bootstrap.servers": logged.brokers})
    place = TopicPartition(logged.name, 0, 1)
    admin.delete_records([place])[place].result(10)
    assert logged.restore()
    assert logged.store.get_many([b"a"]) == [None]


def test_a_log_that_ends_before_the_stores_offset_is_refused(logged: Logged) -> None:
    logged.batch({b"a": b"1"})
    logged.store.write({}, {0: 2})
    with pytest.raises(LogRecreated, match="ends at 1, before the local store at 2.*remove this worker's folder"):
        logged.restore()


def test_source_records_are_folded_into_entries_and_those_of_no_use_left_out(logged: Logged) -> None:
    logged.record(b"a", b"1")
    logged.record(b"b", b"useless")
    logged.record(b"c", b"1")
    logged.record(b"c", None)
    logged.restore(Fold(folded, lambda value, standing, ring: value))
    assert logged.store.get_many([at(0, b"folded a"), at(0, b"folded b"), at(0, b"folded c")]) == [b"1", None, None]
    assert (logged.store.offset(0), logged.counted) == (4, [3])


def folded(source: Source) -> tuple[bytes, bytes | None] | None:
    assert (source.partition, source.partitions) == (0, 1)
    assert abs(source.at_ms / 1000 - time.time()) < 60
    return None if source.value == b"useless" else (b"folded " + source.key, source.value)


def added(value: bytes | None, standing: bytes | None, ring: KeyRing) -> bytes | None:
    """Appends, but for what stands already."""
    assert ring is RING
    return standing if standing is not None and (value or b"") in standing else (standing or b"") + (value or b"")


def test_a_fold_is_told_the_entry_that_stands_in_the_store_or_since_this_batch(logged: Logged) -> None:
    logged.store.write({at(0, b"folded a"): b"0", at(0, b"folded b"): b"0"}, {0: 0})
    for key, value in ((b"a", b"1"), (b"a", b"2"), (b"b", b"0"), (b"c", b"3"), (b"a", b"1"), (b"c", b"4")):
        logged.record(key, value)
    logged.restore(Fold(folded, added))
    assert logged.store.get_many([at(0, b"folded a"), at(0, b"folded b"), at(0, b"folded c")]) == [b"012", b"0", b"34"]


def test_the_last_entry_of_a_key_stays_whatever_the_clocks_of_its_writers_said(kafka: str, tmp_path: Path) -> None:
    logged = Logged(kafka, tmp_path, keep_s=3600)
    now = time.time()
    logged.batch({b"k": b"by a clock ahead", b"old": b"1"}, now + 600)
    logged.batch({b"k": b"later, by one that is right", b"ahead": b"1"}, now)
    logged.batch({b"k": b"last, by one behind", b"behind": b"1"}, now - 30 * 24 * 3600)
    logged.restore()
    assert logged.store.get_many([b"k", b"old", b"ahead", b"behind"]) == [b"last, by one behind", b"1", b"1", b"1"]


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"no changelog record", b"\x81\x01\x02"])
def test_a_record_that_is_none_of_ours_says_nothing(logged: Logged, value: bytes | None) -> None:
    logged.batch({b"a": b"1"})
    logged.record(b"key", value)
    logged.batch({b"b": b"1"})
    logged.restore()
    assert logged.store.get_many([b"a", b"b"]) == [b"1", b"1"]
    assert (logged.store.offset(0), logged.counted) == (3, [2])


def test_a_restore_ends_when_it_is_cancelled(logged: Logged) -> None:
    logged.batch({b"a": b"1"})
    assert not logged.restore(cancelled=lambda: True)
    assert logged.store.offset(0) is None


def test_a_restore_writes_a_hundred_thousand_entries_in_seconds(logged: Logged) -> None:
    for start in range(0, 100_000, 1000):
        logged.batch({b"%032d" % number: bytes(40) for number in range(start, start + 1000)})
    began = time.monotonic()
    assert logged.restore()
    assert time.monotonic() - began < 5.0
    assert logged.store.get_many([b"%032d" % 99_999]) == [bytes(40)]
