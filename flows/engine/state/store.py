"""RocksDB under a table: bytes in, bytes out, and for each partition the changelog offset that its entries stand for.

Entries that expire live in segments, which follow one another as the log does: what is written, and what is restored
in the order of the log, goes into the newest, and what a newer one says of a key counts. A new one is begun when the
newest is `keep_s` old; the one before it stays, and what is older is deleted with its folder: all of that was written
`keep_s` ago at least. So local growth is bounded without a sweep and without tombstones.

The age of a segment is counted by the monotonic clock while its store is open, and kept beside its entries. The wall
clock has no part in it: one that jumps deletes nothing. Time in which no process runs is not counted, so an entry may
stay for longer than it must, never for less.

A store that cannot be read any more begins anew: all of it stands in the log that it is restored from.
"""

import logging
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch

from flows.engine.stop import die
from schemas.keys import at

log = logging.getLogger("carillon.engine")
_OFFSET = b"\xff\xff"
"""How the keys of offsets begin: no partition has that number."""
_AGE = b"\xff\xfe"
"""The key of a segment's age, in whole seconds: no partition has that number either."""
_AGE_KEPT_S = 60
"""An age is written so often; a kill makes a segment younger by no more."""
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


def _multi_get(segment: Rdict, keys: list[bytes]) -> list[bytes | None]:
    found: list[bytes | None] = segment[keys]  # type: ignore[index, assignment]
    return found


class Store:
    """A table on disk. `keep_s` None keeps entries for ever, in one segment. Times are monotonic seconds."""

    def __init__(self, folder: Path, keep_s: int | None, now_s: float) -> None:
        self._folder = folder
        self._keep_s = keep_s
        self._turning = threading.Lock()
        self._segments: dict[int, Rdict] = {}
        """The newest first: what it says of a key is what counts."""
        self._expired: dict[int, Rdict] = {}
        """Out of the way, but a read may still be under way: closed at the next turn."""
        self._offsets: dict[int, int] = {}
        """By partition: the next changelog offset it has not seen."""
        self._newest = self._age_kept_s = 0
        try:
            self._open_all()
        except Exception as error:  # rocksdict has no narrower type for what RocksDB says
            if not _unreadable(error):
                raise
            log.warning("store_begun_anew", extra={"folder": str(folder)})
            self.close()
            shutil.rmtree(folder)
            self._open_all()
        self._begun_s = now_s - self._age_kept_s
        """When the newest segment was begun, had its store been open ever since."""
        self._drop_old()

    def _open_all(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        found = sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit()) or [0]
        for number in found:
            self._open(number)
        self._newest = found[-1]
        self._age_kept_s = int.from_bytes(_multi_get(self._segments[self._newest], [_AGE])[0] or b"", "big")
        self._offsets = {}
        for segment in reversed(self._segments.values()):
            for key, offset in cast(Iterator[tuple[bytes, bytes]], segment.items(from_key=_OFFSET)):
                self._offsets[int.from_bytes(key[len(_OFFSET) :], "big")] = int.from_bytes(offset, "big")

    def _open(self, number: int) -> None:
        opened = {**self._segments, number: Rdict(str(self._folder / str(number)), _options())}
        self._segments = dict(sorted(opened.items(), reverse=True))

    def _drop_old(self) -> None:
        for number, segment in self._expired.items():
            segment.close()
            shutil.rmtree(self._folder / str(number))
        kept = list(self._segments)[:2]
        self._expired = {number: segment for number, segment in self._segments.items() if number not in kept}
        self._segments = {number: self._segments[number] for number in kept}

    def turn(self, now_s: float) -> None:
        """Begin a segment if the newest is old enough, carrying the offsets over, and drop what has expired.

        Blocks for some 10 ms: call it off the loop, which may read and write meanwhile.
        """
        with self._turning:
            if not self._segments or self._keep_s is None:
                return
            if now_s - self._begun_s >= self._keep_s:
                number = self._newest + 1
                self._open(number)
                self._write(number, {}, dict(self._offsets))
                self._newest, self._begun_s, self._age_kept_s = number, now_s, 0
                self._drop_old()
            elif self._expired:
                self._drop_old()
            self._keep_age(now_s)

    def _keep_age(self, now_s: float) -> None:
        age_s = int(now_s - self._begun_s)
        if age_s >= self._age_kept_s + _AGE_KEPT_S:
            self._segments[self._newest].put(_AGE, age_s.to_bytes(8, "big"))
            self._age_kept_s = age_s

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
        newest, *older = self._segments.values()
        found = _multi_get(newest, keys)
        for segment in older:
            missing = [index for index, entry in enumerate(found) if entry is None]
            if missing:
                entries = _multi_get(segment, [keys[index] for index in missing])
                for index, entry in zip(missing, entries, strict=True):
                    found[index] = entry
        return found

    def write(self, entries: Mapping[bytes, bytes | None], offsets: Mapping[int, int] = _NONE) -> None:
        """Write `entries` (None deletes) and the next changelog offsets of partitions, as one."""
        self._write(self._newest, entries, offsets)
        self._offsets.update(offsets)

    def _write(self, number: int, entries: Mapping[bytes, bytes | None], offsets: Mapping[int, int] = _NONE) -> None:
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, entry in entries.items():
            if entry is None:
                self._delete(key, number, batch)
            else:
                put(key, entry)
        for partition, offset in offsets.items():
            put(_OFFSET + at(partition, b""), offset.to_bytes(8, "big"))
        self._segments[number].write(batch)

    def _delete(self, key: bytes, number: int, batch: WriteBatch) -> None:
        """Delete an entry in all segments: in an older one it would be found again."""
        for older, segment in self._segments.items():
            if older != number:
                segment.delete(key)
        batch.delete(key)

    def offset(self, partition: int) -> int | None:
        """The next offset of a partition's changelog that this store has not seen, or None."""
        return self._offsets.get(partition)

    def entries(self) -> int:
        """About how many entries there are."""
        return sum(
            int(segment.property_int_value("rocksdb.estimate-num-keys") or 0) for segment in self._segments.values()
        )

    def close(self) -> None:
        """Flush and close."""
        with self._turning:
            for segment in (*self._segments.values(), *self._expired.values()):
                segment.close()
            self._segments, self._expired = {}, {}
