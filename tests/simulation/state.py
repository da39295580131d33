"""A process's disk and what it tells: the store's twin, which outlives a kill, and meters that nobody reads."""

from collections.abc import Mapping
from pathlib import Path

from agents.stage import Outbox
from flows.engine.meters import Meters
from schemas.metrics import Metric
from tests.simulation.clockwork import Life

Disk = dict[str, tuple[dict[bytes, bytes], dict[int, int]]]
"""Entries and the persisted offsets of partitions, by folder."""


class DiskStore:
    """RocksDB's twin: a write is whole or not at all, and is there after a kill whatever Kafka knows of it."""

    def __init__(self, disk: Disk, life: Life, folder: Path) -> None:
        self._entries, self._offsets = disk.setdefault(str(folder), ({}, {}))
        self._life = life

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [self._entries.get(key) for key in keys]

    def write(self, entries: Mapping[bytes, bytes | None], offsets: Mapping[int, int] | None = None) -> None:
        """Raises Killed before or after it."""
        self._life.point()
        for key, entry in entries.items():
            if entry is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = entry
        self._offsets.update(offsets or {})
        self._life.point()

    def offset(self, partition: int) -> int | None:
        return self._offsets.get(partition)

    def entries(self) -> int:
        return len(self._entries)

    def turn(self, now_s: float) -> None:
        """Nothing expires within a seed."""

    def close(self) -> None:
        """Nothing is held."""


class Silence(Meters):
    """Meters without Prometheus."""

    def __init__(self) -> None:
        """Nothing is made."""

    def count(self, metric: Metric, labels: tuple[str, ...], by: int = 1) -> None:
        """Not counted."""

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Not set."""

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Not observed."""

    def absorb(self, outbox: Outbox) -> None:
        """Not taken."""
