"""RocksDB under a table: bytes in, bytes out, and for each partition the changelog offset that its entries stand for.

Entries that expire live in buckets by time: a bucket spans `keep_s`, the current and the previous one are read, an
older one is closed and its folder deleted. So local growth is bounded without a sweep and without tombstones.

A store that cannot be read any more begins anew: all of it stands in the log that it is restored from.
"""

import logging
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch

from flows.engine.stop import die
from schemas.keys import at

log = logging.getLogger("carillon.engine")
_OFFSET = b"\xff\xff"
"""How the keys of offsets begin: no partition has that number."""
_NONE: Mapping[int, int] = {}
_MIB = 1024 * 1024
_CACHE = Cache(64 * _MIB)
"""One block cache for every store of the process."""
_ROWS = Cache(64 * _MIB)
"""Entries by key, in front of it: what is asked for again costs half."""


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(16 * _MIB)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    options.set_max_total_wal_size(64 * _MIB)
    options.set_row_cache(_ROWS)
    options.set_compression_type(DBCompressionType.lz4())
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_CACHE)
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.02)
    return options


def _unreadable(error: Exception) -> bool:
    """Whether what RocksDB says is of its files; of what it lacks to read them (room, descriptors) it is not."""
    return str(error).startswith(("Corruption", "IO error: No such file"))


def _multi_get(bucket: Rdict, keys: list[bytes]) -> list[bytes | None]:
    found: list[bytes | None] = bucket[keys]  # type: ignore[index, assignment]
    return found


class Store:
    """A table on disk. `keep_s` None keeps entries for ever, in one bucket."""

    def __init__(self, folder: Path, keep_s: int | None, now_s: float) -> None:
        self._folder = folder
        self._keep_s = keep_s
        self._turning = threading.Lock()
        self._buckets: dict[int, Rdict] = {}
        """The newest first: what it says of a key is what counts."""
        self._expired: dict[int, Rdict] = {}
        """Out of the way, but a read may still be under way: closed at the next turn."""
        self._offsets: dict[int, int] = {}
        """By partition: the next changelog offset it has not seen."""
        self._current = self._number(now_s)
        try:
            self._open_all()
        except Exception as error:  # rocksdict has no narrower type for what RocksDB says
            if not _unreadable(error):
                raise
            log.warning("store_begun_anew", extra={"folder": str(folder)})
            self.close()
            shutil.rmtree(folder)
            self._open_all()
        self._drop_old()

    def _number(self, at_s: float) -> int:
        return int(at_s // self._keep_s) if self._keep_s else 0

    def _open_all(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        found = {int(path.name) for path in self._folder.iterdir() if path.name.isdigit()}
        # One that is begun already, by a clock that was ahead, goes on: what is written behind it would not be seen.
        self._current = max(found | {self._current})
        for number in sorted(found | {self._current}):
            self._open(number)
        self._offsets = {}
        for bucket in reversed(self._buckets.values()):
            for key, offset in cast(Iterator[tuple[bytes, bytes]], bucket.items(from_key=_OFFSET)):
                self._offsets[int.from_bytes(key[len(_OFFSET) :], "big")] = int.from_bytes(offset, "big")

    def _open(self, number: int) -> None:
        opened = {**self._buckets, number: Rdict(str(self._folder / str(number)), _options())}
        self._buckets = dict(sorted(opened.items(), reverse=True))

    def _drop_old(self) -> None:
        for number, bucket in self._expired.items():
            bucket.close()
            shutil.rmtree(self._folder / str(number))
        oldest = self._current - 1
        self._expired = {number: bucket for number, bucket in self._buckets.items() if number < oldest}
        self._buckets = {number: bucket for number, bucket in self._buckets.items() if number >= oldest}

    def turn(self, now_s: float) -> None:
        """Begin the bucket of `now_s` if it is time, carrying the offsets over, and drop what has expired.

        Blocks for some 10 ms: call it off the loop, which may read and write meanwhile.
        """
        number = self._number(now_s)
        with self._turning:
            if self._buckets and number > self._current:
                self._open(number)
                self._write(number, {}, dict(self._offsets))
                self._current = number
                self._drop_old()
            elif self._expired:
                self._drop_old()

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The entries under `keys`, in their order."""
        try:
            return self._get_many(keys)
        except Exception as error:  # as above; to the engine it would look like a bug of its stage
            if not _unreadable(error):
                raise
            shutil.rmtree(self._folder, ignore_errors=True)
            die(f"{self._folder} cannot be read and was removed: it begins anew")

    def _get_many(self, keys: list[bytes]) -> list[bytes | None]:
        newest, *older = self._buckets.values()
        found = _multi_get(newest, keys)
        for bucket in older:
            missing = [index for index, entry in enumerate(found) if entry is None]
            if missing:
                for index, entry in zip(missing, _multi_get(bucket, [keys[index] for index in missing]), strict=True):
                    found[index] = entry
        return found

    def write(self, entries: Mapping[bytes, bytes | None], offsets: Mapping[int, int] = _NONE) -> None:
        """Write `entries` (None deletes) and the next changelog offsets of partitions, as one."""
        self._write(self._current, entries, offsets)
        self._offsets.update(offsets)

    def _write(self, number: int, entries: Mapping[bytes, bytes | None], offsets: Mapping[int, int] = _NONE) -> None:
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, entry in entries.items():
            if entry is None:
                batch.delete(key)
            else:
                put(key, entry)
        for partition, offset in offsets.items():
            put(_OFFSET + at(partition, b""), offset.to_bytes(8, "big"))
        self._buckets[number].write(batch)

    def load(self, entries: Iterable[tuple[bytes, bytes | None, int]], partition: int, offset: int) -> None:
        """Restore (key, entry, epoch ms) records of a partition that end before `offset`, each into the bucket of its
        time."""
        groups: dict[int, dict[bytes, bytes | None]] = {}
        for key, entry, at_ms in entries:
            number = self._current
            if self._keep_s and at_ms > 0:
                number = min(self._current, self._number(at_ms / 1000))
            groups.setdefault(number, {})[key] = entry
        for number, group in groups.items():
            if number >= self._current - 1:
                if number not in self._buckets:
                    self._open(number)
                self._write(number, group)
        self.write({}, {partition: offset})

    def offset(self, partition: int) -> int | None:
        """The next offset of a partition's changelog that this store has not seen, or None."""
        return self._offsets.get(partition)

    def entries(self) -> int:
        """About how many entries there are."""
        return sum(
            int(bucket.property_int_value("rocksdb.estimate-num-keys") or 0) for bucket in self._buckets.values()
        )

    def close(self) -> None:
        """Flush and close."""
        with self._turning:
            for bucket in (*self._buckets.values(), *self._expired.values()):
                bucket.close()
            self._buckets, self._expired = {}, {}
