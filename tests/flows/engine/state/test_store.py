import os
import resource
import sys
import threading
from pathlib import Path

import pytest

from flows.engine.state.store import Store

KEEP_S = 100
NOW = 5_000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of entries that expire."""
    return Store(tmp_path / "store", KEEP_S, NOW)


def segments(store: Store) -> list[str]:
    return sorted(path.name for path in store._folder.iterdir())


def test_entries_are_found_in_the_order_of_their_keys(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"2"})
    assert store.get_many([b"b", b"none", b"a"]) == [b"2", None, b"1"]


def test_none_deletes(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", None, NOW)
    store.write({b"a": b"1"})
    store.write({b"a": None})
    assert store.get_many([b"a"]) == [None]


def test_entries_and_offset_are_there_after_a_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", None, NOW)
    store.write({b"a": b"1"}, {3: 42})
    store.close()
    again = Store(tmp_path / "store", None, NOW + 10 * KEEP_S)
    assert (again.get_many([b"a"]), again.offset(3)) == ([b"1"], 42)


def test_a_new_store_has_no_offset(store: Store) -> None:
    assert store.offset(3) is None


def test_entries_of_the_previous_segment_are_found_and_newer_ones_win(store: Store) -> None:
    store.write({b"old": b"1", b"both": b"1"})
    store.turn(NOW + KEEP_S)
    store.write({b"both": b"2"})
    assert store.get_many([b"old", b"both", b"none"]) == [b"1", b"2", None]


def test_an_entry_is_deleted_in_every_segment(store: Store) -> None:
    store.write({b"k": b"old"})
    store.turn(NOW + KEEP_S)
    store.write({b"k": None})
    assert store.get_many([b"k"]) == [None]


def test_an_expired_segment_is_dropped_with_its_folder_and_the_offset_carried_over(store: Store) -> None:
    store.write({b"a": b"1"}, {3: 7, 4: 9})
    store.turn(NOW + KEEP_S)
    assert (segments(store), store.offset(3)) == (["0", "1"], 7)
    store.turn(NOW + 2 * KEEP_S)
    assert (store.get_many([b"a"]), store.offset(3), store.offset(4)) == ([None], 7, 9)
    # Its folder goes at the next look, when no read can be under way.
    store.turn(NOW + 2 * KEEP_S)
    assert segments(store) == ["1", "2"]


def test_a_segment_is_followed_by_one_at_a_time_however_late_it_is_looked_at(store: Store) -> None:
    store.write({b"a": b"1"})
    store.turn(NOW + 50 * KEEP_S)
    assert (segments(store), store.get_many([b"a"])) == (["0", "1"], [b"1"])


def test_a_store_can_be_read_and_written_while_it_turns_in_another_thread(store: Store) -> None:
    store.write({b"k": b"0"}, {3: 1})
    ended = threading.Event()

    def turn() -> None:
        for turns in range(1, 20):
            store.turn(NOW + turns * KEEP_S)
            ended.wait(0.02)
        ended.set()

    thread = threading.Thread(target=turn)
    thread.start()
    count = 0
    while not ended.is_set():
        count += 1
        store.write({b"k": b"%d" % count})
        assert store.get_many([b"k"]) == [b"%d" % count]
    thread.join()
    assert store.offset(3) == 1
    assert len(segments(store)) <= 3


def test_a_newer_segment_speaks_before_one_that_is_about_to_be_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write({b"k": b"old"})
    store.turn(NOW + KEEP_S)
    store.write({b"k": b"new"})
    monkeypatch.setattr(Store, "_drop_old", lambda self: None)  # as far as another thread has come in the midst of it
    store.turn(NOW + 2 * KEEP_S)
    assert store.get_many([b"k"]) == [b"new"]


def test_a_store_that_is_closed_does_not_turn(store: Store) -> None:
    store.close()
    store.turn(NOW + KEEP_S)
    assert segments(store) == ["0"]


@pytest.mark.parametrize("kind", ["MANIFEST", "CURRENT", ".sst"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_store_that_cannot_be_read_begins_anew_in_all_its_segments(tmp_path: Path, kind: str, gone: bool) -> None:
    store = Store(tmp_path, KEEP_S, NOW)
    store.write({b"old": b"1"})
    store.turn(NOW + KEEP_S)
    store.write({b"new": b"1"}, {3: 7})
    for segment in store._segments.values():
        segment.flush()
    store.close()
    for path in (tmp_path / "0").iterdir():
        if kind in path.name:
            path.unlink() if gone else path.write_bytes(b"torn")
    again = Store(tmp_path, KEEP_S, NOW)
    assert again.offset(3) is None
    assert again.get_many([b"old", b"new"]) == [None, None]
    again.write({b"new": b"2"}, {3: 1})
    again.close()
    assert Store(tmp_path, KEEP_S, NOW).get_many([b"new"]) == [b"2"]


def test_a_store_that_proves_unreadable_ends_the_process_and_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.engine.state.store.die", sys.exit)
    keys = [b"%d" % number for number in range(1000)]
    store = Store(tmp_path, None, NOW)
    store.write({key: os.urandom(100) for key in keys}, {3: 7})
    store._segments[0].flush()
    store.close()
    (table,) = (tmp_path / "0").glob("*.sst")
    data = bytearray(table.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 4096] = os.urandom(4096)
    table.write_bytes(data)
    store = Store(tmp_path, None, NOW)
    with pytest.raises(SystemExit, match="begins anew"):
        store.get_many(keys)
    store.close()
    again = Store(tmp_path, None, NOW)
    assert again.offset(3) is None


def test_a_store_that_cannot_be_opened_for_want_of_room_is_left_as_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path, KEEP_S, NOW)
    store.write({b"kept": b"1"}, {3: 7})
    store.close()
    room = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), room[1]))
    try:
        with pytest.raises(Exception, match="Too many open files"):
            Store(tmp_path, KEEP_S, NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, room)
    assert Store(tmp_path, KEEP_S, NOW).get_many([b"kept"]) == [b"1"]


def test_nothing_turns_before_its_time(store: Store) -> None:
    store.turn(NOW + KEEP_S - 1)
    assert segments(store) == ["0"]


def test_a_store_that_is_opened_again_goes_on_at_the_age_it_had(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", KEEP_S, NOW)
    store.write({b"a": b"1"}, {3: 42})
    store.turn(NOW + 70)
    store.close()
    another_clock = NOW - 3_000
    store = Store(tmp_path / "store", KEEP_S, another_clock)
    assert (store.offset(3), store.get_many([b"a"])) == (42, [b"1"])
    store.turn(another_clock + 29)
    assert segments(store) == ["0"]
    store.turn(another_clock + 30)
    assert (segments(store), store.offset(3), store.get_many([b"a"])) == (["0", "1"], 42, [b"1"])


def test_a_restore_counts_as_written_now(store: Store) -> None:
    store.turn(NOW + KEEP_S)
    store.write({b"a": b"of long ago", b"b": b"1"}, {3: 1})
    store.turn(NOW + 2 * KEEP_S)
    assert (store.get_many([b"a", b"b"]), store.offset(3)) == ([b"of long ago", b"1"], 1)


def test_entries_are_counted_over_the_segments(store: Store) -> None:
    store.write({b"%d" % number: b"x" for number in range(50)})
    store.turn(NOW + KEEP_S)
    store.write({b"new": b"x"})
    assert 51 <= store.entries() <= 53
