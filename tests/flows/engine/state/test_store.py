import os
import resource
import sys
import threading
from pathlib import Path

import pytest

from flows.engine.state.store import Store

KEEP_S = 100
NOW = 1_000_050.0
"""In the middle of bucket 10000 of those of 100 s."""


def ms(at_s: float) -> int:
    return int(at_s * 1000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of entries that expire."""
    return Store(tmp_path / "store", KEEP_S, NOW)


def buckets(store: Store) -> list[str]:
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


def test_entries_of_the_previous_bucket_are_found_and_newer_ones_win(store: Store) -> None:
    store.write({b"old": b"1", b"both": b"1"})
    store.turn(NOW + KEEP_S)
    store.write({b"both": b"2"})
    assert store.get_many([b"old", b"both", b"none"]) == [b"1", b"2", None]


def test_what_is_written_after_a_clock_that_was_ahead_is_put_right_is_seen(tmp_path: Path) -> None:
    store = Store(tmp_path, KEEP_S, NOW)
    store.turn(NOW + KEEP_S)
    store.write({b"k": b"by the clock ahead"})
    store.close()
    again = Store(tmp_path, KEEP_S, NOW)
    again.write({b"k": b"later"})
    assert again.get_many([b"k"]) == [b"later"]
    again.close()


def test_an_expired_bucket_is_dropped_with_its_folder_and_the_offset_carried_over(store: Store) -> None:
    store.write({b"a": b"1"}, {3: 7, 4: 9})
    store.turn(NOW + KEEP_S)
    assert (buckets(store), store.offset(3)) == (["10000", "10001"], 7)
    store.turn(NOW + 2 * KEEP_S)
    assert (store.get_many([b"a"]), store.offset(3), store.offset(4)) == ([None], 7, 9)
    # Its folder goes at the next look, when no read can be under way.
    store.turn(NOW + 2 * KEEP_S)
    assert buckets(store) == ["10001", "10002"]


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
    assert len(buckets(store)) <= 3


def test_a_newer_bucket_speaks_before_one_that_is_about_to_be_dropped(
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
    assert buckets(store) == ["10000"]


@pytest.mark.parametrize("kind", ["MANIFEST", "CURRENT", ".sst"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_store_that_cannot_be_read_begins_anew_in_all_its_buckets(tmp_path: Path, kind: str, gone: bool) -> None:
    store = Store(tmp_path, KEEP_S, NOW)
    store.load([(b"old", b"1", ms(NOW - KEEP_S)), (b"new", b"1", ms(NOW))], 3, 7)
    for bucket in store._buckets.values():
        bucket.flush()
    store.close()
    for path in (tmp_path / str(int(NOW - KEEP_S) // KEEP_S)).iterdir():
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
    store._buckets[0].flush()
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
    store.turn(NOW + 49)
    assert buckets(store) == ["10000"]


def test_a_store_that_is_opened_in_a_later_bucket_knows_its_offset_and_drops_what_expired(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", KEEP_S, NOW)
    store.write({b"a": b"1"}, {3: 42})
    store.close()
    store = Store(tmp_path / "store", KEEP_S, NOW + KEEP_S)
    assert (store.offset(3), store.get_many([b"a"])) == (42, [b"1"])
    store.close()
    store = Store(tmp_path / "store", KEEP_S, NOW + 2 * KEEP_S)
    store.turn(NOW + 2 * KEEP_S)
    assert (buckets(store), store.get_many([b"a"])) == (["10001", "10002"], [None])


def test_a_restore_puts_each_entry_into_the_bucket_of_its_time(store: Store) -> None:
    expired, older, current = NOW - 2 * KEEP_S, NOW - KEEP_S, NOW
    store.load([(b"e", b"0", ms(expired)), (b"o", b"1", ms(older)), (b"c", b"2", ms(current))], 3, 99)
    assert store.get_many([b"e", b"o", b"c"]) == [None, b"1", b"2"]
    assert (buckets(store), store.offset(3)) == (["10000", "9999"], 99)
    store.turn(NOW + KEEP_S)
    assert store.get_many([b"o", b"c"]) == [None, b"2"]


def test_a_restore_puts_what_comes_from_a_clock_ahead_or_has_no_time_into_the_current_bucket(store: Store) -> None:
    store.load([(b"ahead", b"1", ms(NOW + 5 * KEEP_S)), (b"timeless", b"2", -1)], 3, 3)
    assert buckets(store) == ["10000"]
    assert store.get_many([b"ahead", b"timeless"]) == [b"1", b"2"]


def test_a_restore_keeps_the_last_entry_of_a_key_and_its_deletion(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", None, NOW)
    store.load([(b"a", b"1", ms(NOW)), (b"a", b"2", ms(NOW)), (b"b", b"1", ms(NOW)), (b"b", None, ms(NOW))], 3, 4)
    assert store.get_many([b"a", b"b"]) == [b"2", None]


def test_entries_are_counted_over_the_buckets(store: Store) -> None:
    store.write({b"%d" % number: b"x" for number in range(50)})
    store.turn(NOW + KEEP_S)
    store.write({b"new": b"x"})
    assert 51 <= store.entries() <= 53
