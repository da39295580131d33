"""The tables of a flow as the engine holds them: one store a partition, a view of it for each batch.

A view is an overlay: a stage reads what it loaded and what it wrote; nothing reaches the store unless the batch does.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from flows.engine.store import Store
from schemas.topics import changelog
from tables.table import Entries, Kind, Table


class View:
    """One partition of a table, for one run of a batch."""

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
        self.changelogged = frozenset(n for n, table in self.specs.items() if table.kind is Kind.CHANGELOGGED)
        self._replicated = replicated
        self._stores: dict[tuple[str, int], Store] = {}
        self._stands: dict[tuple[str, int], int] = {}
        """Next offset of its changelog that an open store has seen, by (table, partition)."""
        self._durable: dict[tuple[str, int], int] = {}
        """Next offset of its log that a store stands for, by (table, partition), not yet persisted."""

    def open(self, partition: int) -> None:
        """Open the stores of a partition. Blocks: call it off the loop."""
        for table in self.specs.values():
            if (table.name, partition) not in self._stores:
                folder = self._folder / table.name / str(partition)
                self._stores[table.name, partition] = Store(folder, table.keep_s, time.time())

    def keep_only(self, partitions: set[int]) -> None:
        """Close the stores of every other partition. Blocks: call it off the loop."""
        for name, number in [held for held in self._stores if held[1] not in partitions]:
            self._persist(name, number)
            self._stores.pop((name, number)).close()

    def store(self, table: str, partition: int) -> Store:
        """The open store of a table's partition."""
        return self._stores[table, partition]

    def views(self, partition: int, earlier: Mapping[str, Entries] | None = None) -> dict[str, Entries]:
        """Views of a partition for one run of a batch, fresh or on top of what `earlier` ones wrote."""
        views: dict[str, Entries] = {
            name: View(self._stores[name, partition], cast(View, earlier[name]) if earlier else None)
            for name in self.specs
        }
        views.update(self._replicated)
        return views

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
        for name, number in list(self._durable):
            self._persist(name, number)

    def turn(self) -> None:
        """Begin the buckets whose time has come. Blocks: call it off the loop."""
        for store in list(self._stores.values()):
            store.turn(time.time())

    def _persist(self, name: str, number: int) -> None:
        offset = self._durable.pop((name, number), None)
        store = self._stores.get((name, number))
        if offset is not None and store is not None:
            store.write({}, offset)

    def entries(self) -> dict[str, int]:
        """About how many entries each table holds here."""
        sizes = dict.fromkeys(self.specs, 0)
        for (name, _), store in list(self._stores.items()):
            sizes[name] += store.entries()
        return sizes

    def close(self) -> None:
        """Persist and close everything."""
        self.keep_only(set())
