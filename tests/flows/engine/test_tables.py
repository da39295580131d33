import time
from pathlib import Path
from typing import cast

import pytest

from flows.engine.store import Store
from flows.engine.tables import FlowTables, View
from schemas.topics import Topic
from tables.table import DictEntries, Fold, Kind, Table

LOG = "carillon-flow-own-changelog"
OWN = Table("own", Kind.CHANGELOGGED, keep_s=3600)
NOTHING = Fold[None](lambda source: None, lambda said, standing, ring: standing)
SOURCE = Table("source", Kind.SOURCE_BACKED, source=Topic("the.source", "key", None), fold=NOTHING)
EVERYWHERE = Table("everywhere", Kind.REPLICATED, source=Topic("small", "key", None), fold=NOTHING)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two entries."""
    store = Store(tmp_path / "store", None, 0)
    store.write({b"a": b"1", b"b": b"2"})
    return store


@pytest.fixture
def tables(tmp_path: Path) -> FlowTables:
    """A flow's tables, one of each kind, partition 3 open."""
    found = FlowTables(tmp_path, "flow", [OWN, SOURCE, EVERYWHERE], {"everywhere": DictEntries({b"k": b"v"})})
    found.open(3)
    return found


def test_a_view_knows_what_was_loaded_and_what_it_wrote(store: Store) -> None:
    view = View(store)
    view.load([b"a", b"none"])
    assert (view.get(b"a"), view.get(b"none"), view.get(b"b")) == (b"1", None, None)
    view[b"c"] = b"3"
    view[b"a"] = b"4"
    assert (view.get(b"a"), view.get(b"c"), view.writes) == (b"4", b"3", {b"c": b"3", b"a": b"4"})


def test_nothing_of_a_view_reaches_the_store(store: Store) -> None:
    view = View(store)
    view[b"a"] = b"changed"
    assert store.get_many([b"a"]) == [b"1"]
    assert View(store).writes == {}


def test_loading_does_not_undo_what_was_written(store: Store) -> None:
    view = View(store)
    view[b"a"] = b"written"
    view.load([b"a"])
    assert view.get(b"a") == b"written"


def test_a_view_on_top_of_another_sees_its_writes_and_leaves_them_alone(store: Store) -> None:
    earlier = View(store)
    earlier[b"a"] = b"earlier"
    later = View(store, earlier)
    later[b"b"] = b"later"
    assert (later.get(b"a"), later.writes) == (b"earlier", {b"a": b"earlier", b"b": b"later"})
    assert earlier.writes == {b"a": b"earlier"}


def test_each_table_knows_the_log_it_is_restored_from(tables: FlowTables) -> None:
    assert tables.log_of == {"own": "carillon-flow-own-changelog", "source": "the.source"}
    assert tables.changelogged == {"own"}


def test_a_stage_gets_views_of_its_partition_and_the_replicated_tables(tables: FlowTables) -> None:
    tables.store("own", 3).write({b"k": b"mine"})
    views = tables.views(3)
    views["own"].load([b"k"])
    assert views["own"].get(b"k") == b"mine"
    assert views["everywhere"].get(b"k") == b"v"
    cast(View, views["own"])[b"k"] = b"new"
    assert tables.views(3, views)["own"].get(b"k") == b"new"


def test_the_persisted_offset_moves_only_to_what_is_durable(tables: FlowTables) -> None:
    store = tables.store("own", 3)
    tables.restored(LOG, 3, 11)
    store.write({b"k": b"not acknowledged yet"})
    tables.persist()
    assert store.offset() is None
    tables.logged(LOG, 3, 12)
    assert store.offset() is None
    tables.persist()
    assert store.offset() == 12


def test_a_record_behind_one_of_another_worker_moves_no_offset(tables: FlowTables) -> None:
    tables.restored(LOG, 3, 11)
    tables.logged(LOG, 3, 13)
    tables.logged(LOG, 3, 14)
    tables.persist()
    assert tables.store("own", 3).offset() is None


def test_a_source_that_was_worked_moves_the_offset_of_its_table_and_another_topic_none(tables: FlowTables) -> None:
    tables.applied("the.source", 3, 5)
    tables.applied("some other topic", 3, 9)
    tables.persist()
    assert (tables.store("source", 3).offset(), tables.store("own", 3).offset()) == (5, None)


def test_stores_of_other_partitions_are_persisted_and_closed(tables: FlowTables, tmp_path: Path) -> None:
    tables.open(4)
    tables.restored(LOG, 3, 11)
    tables.logged(LOG, 3, 12)
    tables.keep_only({4})
    with pytest.raises(KeyError):
        tables.store("own", 3)
    assert tables.store("own", 4)
    assert Store(tmp_path / "flow" / "own" / "3", OWN.keep_s, time.time()).offset() == 12


def test_an_offset_of_a_store_that_is_closed_is_forgotten(tables: FlowTables) -> None:
    tables.restored(LOG, 3, 11)
    tables.keep_only(set())
    tables.logged(LOG, 3, 12)
    tables.persist()
    tables.open(3)
    tables.persist()
    assert tables.store("own", 3).offset() is None


def test_opening_twice_keeps_the_store(tables: FlowTables) -> None:
    before = tables.store("own", 3)
    tables.open(3)
    assert tables.store("own", 3) is before


def test_entries_are_counted_by_table(tables: FlowTables) -> None:
    tables.store("own", 3).write({b"a": b"1", b"b": b"2"})
    assert tables.entries() == {"own": 2, "source": 0}
