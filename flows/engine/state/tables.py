"""The tables of a flow as the engine holds them: a store each, and a view of it for each batch.

A view is an overlay: a stage reads what it loaded and what it wrote; nothing reaches the store unless the batch does.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from flows.engine.state.store import Store
from flows.engine.stop import die
from schemas.keys import HOME_BYTES
from schemas.topics import changelog
from tables.table import Entries, Kind, Table

Changes = tuple[str, int, Mapping[bytes, bytes | None]]
"""Entries for a changelog: topic, partition, entry by key (at least one)."""


class View:
    """A table, for one run of a batch."""

    __slots__ = ("_read", "_seen", "get", "writes")

    def __init__(self, store: Store, earlier: "View | None" = None) -> None:
        self._read = store.get_many
        self.writes: dict[bytes, bytes | None] = dict(earlier.writes) if earlier else {}
        self._seen: dict[bytes, bytes | None] = dict(self.writes)
        self.get = self._seen.get

    def load(self, keys: Iterable[bytes]) -> None:
        """Read what is not yet here, in one multi-get."""
        missing = [key for key in keys if key not in self._seen]
        if missing:
            self._seen.update(zip(missing, self._read(missing), strict=True))

    def __setitem__(self, key: bytes, entry: bytes) -> None:
        self._seen[key] = entry
        self.writes[key] = entry


class FlowTables:
    """Every partitioned table of a flow, and the replicated ones it may read."""

    def __init__(self, folder: Path, flow: str, tables: Iterable[Table], replicated: Mapping[str, Entries]) -> None:
        self._folder = folder / flow
        self.specs = {table.name: table for table in tables if table.kind is not Kind.REPLICATED}
        self.log_of = {
            name: (table.source or changelog(flow, name, table.keep_s or 0)).name for name, table in self.specs.items()
        }
        """The topic each table is restored from."""
        self.of_log = {topic: name for name, topic in self.log_of.items()}
        self.sources = frozenset(table.source.name for table in self.specs.values() if table.source is not None)
        """The topics that tables are folded from."""
        self.changelogged = frozenset(n for n, table in self.specs.items() if table.kind is Kind.CHANGELOGGED)
        self._replicated = replicated
        self._stores: dict[str, Store] = {}
        self._held: frozenset[int] = frozenset()
        self._stands: dict[tuple[str, int], int] = {}
        """Next offset of its changelog that a table has seen, by (table, partition)."""
        self._durable: dict[tuple[str, int], int] = {}
        """Next offset of its log that a table stands for, by (table, partition), not yet persisted."""

    def hold(self, partitions: Collection[int]) -> None:
        """Open the stores; from now on their entries are of these partitions. Blocks: call it off the loop."""
        self.persist()
        self._held = frozenset(partitions)
        self._stands = {place: offset for place, offset in self._stands.items() if place[1] in self._held}
        for table in self.specs.values():
            if table.name not in self._stores:
                self._stores[table.name] = Store(self._folder / table.name, table.keep_s, time.monotonic())

    def store(self, table: str) -> Store:
        """The open store of a table."""
        return self._stores[table]

    def views(self, earlier: Mapping[str, Entries] | None = None) -> dict[str, Entries]:
        """Views for one run of a batch, fresh or on top of what `earlier` ones wrote."""
        views: dict[str, Entries] = {
            name: View(self._stores[name], cast(View, earlier[name]) if earlier else None) for name in self.specs
        }
        views.update(self._replicated)
        return views

    def logged_by(self, views: Mapping[str, Entries]) -> Iterator[tuple[str, Mapping[bytes, bytes | None]]]:
        """What a run wrote to each table that has a changelog."""
        for name in self.changelogged:
            yield name, cast(View, views[name]).writes

    def write(self, views: Mapping[str, Entries]) -> list[Changes]:
        """Write to the stores what a run wrote to its views. Returns what goes to the changelogs."""
        changes: list[Changes] = []
        for name in self.specs:
            writes = cast(View, views[name]).writes
            if writes:
                found = [(self.log_of[name], home, entries) for home, entries in self._by_home(name, writes)]
                self._stores[name].write(writes)
                if name in self.changelogged:
                    changes += found
        return changes

    def _by_home(
        self, table: str, writes: Mapping[bytes, bytes | None]
    ) -> Iterator[tuple[int, dict[bytes, bytes | None]]]:
        homes: dict[bytes, dict[bytes, bytes | None]] = {}
        for key, entry in writes.items():
            homes.setdefault(key[:HOME_BYTES], {})[key] = entry
        for home, entries in homes.items():
            number = int.from_bytes(home, "big")
            if number not in self._held:
                die(f"a key of {table} begins with no partition that is held here: see schemas.keys.at")
            yield number, entries

    def restored(self, topic: str, partition: int, offset: int) -> None:
        """A store has seen its log up to `offset`."""
        self._stands[self.of_log[topic], partition] = offset

    def logged(self, topic: str, partition: int, offset: int) -> None:
        """A record of ours lies in a changelog right before `offset`.

        Behind a record of somebody else's, which the store has not seen, the store stands for no more than before: a
        worker that stood still for longer than its group waits writes there, before it learns that it owns nothing.
        """
        place = self.of_log[topic], partition
        if self._stands.get(place) == offset - 1:
            self._stands[place] = self._durable[place] = offset

    def applied(self, topic: str, partition: int, offset: int) -> None:
        """A topic was worked up to `offset`; if a table is folded from it, its store stands for that."""
        name = self.of_log.get(topic)
        if name is not None:
            self._durable[name, partition] = offset

    def persist(self) -> None:
        """Move the persisted offsets to what is known durable."""
        durable, self._durable = self._durable, {}
        for name, store in self._stores.items():
            offsets = {partition: offset for (table, partition), offset in durable.items() if table == name}
            if offsets:
                store.write({}, offsets)

    def turn(self) -> None:
        """Begin the segments whose time has come. Blocks: call it off the loop."""
        for store in list(self._stores.values()):
            store.turn(time.monotonic())

    def entries(self) -> dict[str, int]:
        """About how many entries each table holds here, those of partitions that were held once among them."""
        return {name: self._stores[name].entries() if name in self._stores else 0 for name in self.specs}

    def close(self) -> None:
        """Persist and close everything."""
        self.persist()
        while self._stores:
            self._stores.popitem()[1].close()
