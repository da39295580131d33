import time
from pathlib import Path
from typing import NoReturn, cast

import pytest

import flows.engine.state.tables
from flows.engine.state.store import Store
from flows.engine.state.tables import FlowTables, View
from schemas.keys import at
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
    """A flow's tables, one of each kind, partitions 3 and 5 held."""
    found = FlowTables(tmp_path, "flow", [OWN, SOURCE, EVERYWHERE], {"everywhere": DictEntries({b"k": b"v"})})
    found.hold({3, 5})
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


def test_a_stage_gets_a_view_of_each_table_and_the_replicated_ones(tables: FlowTables) -> None:
    tables.store("own").write({at(3, b"k"): b"mine"})
    views = tables.views()
    views["own"].load([at(3, b"k")])
    assert views["own"].get(at(3, b"k")) == b"mine"
    assert views["everywhere"].get(b"k") == b"v"
    cast(View, views["own"])[at(3, b"k")] = b"new"
    assert tables.views(views)["own"].get(at(3, b"k")) == b"new"


def test_what_a_run_wrote_is_in_the_stores_and_goes_to_the_changelog_of_each_partition(tables: FlowTables) -> None:
    views = tables.views()
    for home in (3, 5, 3):
        for name in (b"a", b"b"):
            cast(View, views["own"])[at(home, name)] = b"%d" % home
    cast(View, views["source"])[at(3, b"folded")] = b"1"
    assert tables.write(views) == [
        (LOG, 3, {at(3, b"a"): b"3", at(3, b"b"): b"3"}),
        (LOG, 5, {at(5, b"a"): b"5", at(5, b"b"): b"5"}),
    ]
    assert tables.store("own").get_many([at(3, b"a"), at(5, b"a")]) == [b"3", b"5"]
    assert tables.store("source").get_many([at(3, b"folded")]) == [b"1"]


def test_a_key_without_a_partition_that_is_held_ends_the_process(
    tables: FlowTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(why: str) -> NoReturn:
        raise RuntimeError(why)

    monkeypatch.setattr(flows.engine.state.tables, "die", die)
    views = tables.views()
    cast(View, views["own"])[at(4, b"k")] = b"1"
    with pytest.raises(RuntimeError, match="begins with no partition that is held here"):
        tables.write(views)
    assert tables.store("own").get_many([at(4, b"k")]) == [None]


def test_the_persisted_offset_moves_only_to_what_is_durable(tables: FlowTables) -> None:
    store = tables.store("own")
    tables.restored(LOG, 3, 11)
    store.write({at(3, b"k"): b"not acknowledged yet"})
    tables.persist()
    assert store.offset(3) is None
    tables.logged(LOG, 3, 12)
    assert store.offset(3) is None
    tables.persist()
    assert (store.offset(3), store.offset(5)) == (12, None)


def test_a_record_behind_one_of_another_worker_moves_no_offset(tables: FlowTables) -> None:
    tables.restored(LOG, 3, 11)
    tables.logged(LOG, 3, 13)
    tables.logged(LOG, 3, 14)
    tables.persist()
    assert tables.store("own").offset(3) is None


def test_a_source_that_was_worked_moves_the_offset_of_its_table_and_another_topic_none(tables: FlowTables) -> None:
    tables.applied("the.source", 3, 5)
    tables.applied("some other topic", 3, 9)
    tables.persist()
    assert (tables.store("source").offset(3), tables.store("own").offset(3)) == (5, None)


def test_offsets_of_partitions_that_are_let_go_are_persisted_and_move_no_more(tables: FlowTables) -> None:
    for number in (3, 5):
        tables.restored(LOG, number, 11)
        tables.logged(LOG, number, 12)
    tables.hold({5, 6})
    for number in (3, 5):
        tables.logged(LOG, number, 13)
    tables.persist()
    assert (tables.store("own").offset(3), tables.store("own").offset(5)) == (12, 13)


def test_what_is_held_anew_keeps_its_store(tables: FlowTables) -> None:
    before = tables.store("own")
    tables.hold({3})
    assert tables.store("own") is before


def test_entries_and_offsets_are_there_when_tables_are_opened_again(tables: FlowTables, tmp_path: Path) -> None:
    tables.restored(LOG, 3, 11)
    tables.logged(LOG, 3, 12)
    tables.close()
    assert Store(tmp_path / "flow" / "own", OWN.keep_s, 0.0).offset(3) == 12


@pytest.mark.parametrize("days", [30, -30])
def test_a_clock_that_jumps_deletes_nothing(
    tables: FlowTables, tmp_path: Path, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.store("own").write({at(3, b"k"): b"young"}, {3: 12})
    wrong = time.time() + days * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: wrong)
    for _ in range(3):
        tables.turn()
    assert tables.store("own").get_many([at(3, b"k")]) == [b"young"]
    tables.close()
    again = FlowTables(tmp_path, "flow", [OWN, SOURCE, EVERYWHERE], {})
    again.hold({3})
    again.turn()
    assert (again.store("own").get_many([at(3, b"k")]), again.store("own").offset(3)) == ([b"young"], 12)
    again.close()


def test_entries_are_counted_by_table(tables: FlowTables) -> None:
    tables.store("own").write({b"a": b"1", b"b": b"2"})
    assert tables.entries() == {"own": 2, "source": 0}
