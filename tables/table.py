"""What a table is, and how a stage sees it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from schemas.sealing import KeyRing
from schemas.topics import Topic


class Kind(StrEnum):
    """Where a table's truth is, and which part of it a process holds."""

    CHANGELOGGED = "changelogged"
    """Written by its flow's stages; restored from its own changelog; a process holds its partitions."""
    SOURCE_BACKED = "source-backed"
    """Folded from a compacted topic that is its own changelog; a process holds its partitions."""
    REPLICATED = "replicated"
    """Folded from a small compacted topic; every process holds all of it."""


class Source(msgspec.Struct, gc=False):
    """A record of a source topic, which lies in `partition` of `partitions`. `at_ms` is its timestamp, in epoch ms."""

    key: bytes
    value: bytes | None
    at_ms: int
    partition: int
    partitions: int


Said = TypeVar("Said")
"""What a record says, as its table reads it."""


@dataclass(frozen=True)
class Fold(Generic[Said]):
    """How the records of a source become entries, one after the other in the order of the log.

    A restore starts anywhere in the log, over a store that may be ahead of it, and compaction keeps the last record of
    a key, whatever it says: `after` must come to the same entry each time, and so it is told which one stands.
    """

    read: Callable[[Source], tuple[bytes, Said] | None]
    """A record -> the key of the entry it is about and what it says, or None for a record of no use."""
    after: Callable[[Said, bytes | None, KeyRing], bytes | None]
    """What a record says and the entry that stands -> the entry that stands afterwards. None means that there is none;
    an entry that stays is returned itself."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `keep_s` bounds the life of an entry, here and in the changelog; None keeps it.

    Where it `lingers`, nothing waits for its changelog but the commit.
    """

    name: str
    kind: Kind
    keep_s: int | None = None
    source: Topic | None = None
    fold: Fold[Any] | None = None
    lingers: bool = False


class Entries(Protocol):
    """A table as a stage sees it: load what the batch needs in one read, then get and set.

    The keys of a replicated table are as its fold makes them. Those of any other are `schemas.keys.at(partition, name)`
    with the partition of the record that the entry follows from.
    """

    def load(self, keys: Iterable[bytes]) -> None:
        """Read `keys` at once; `get` then costs nothing."""

    def get(self, key: bytes, /) -> bytes | None:
        """The entry under a loaded or written key, or None."""

    def __setitem__(self, key: bytes, entry: bytes, /) -> None: ...


class DictEntries(dict[bytes, bytes]):
    """A table that is a dict: the twin of the engine's, for tests and for reading a stage."""

    def load(self, keys: Iterable[bytes]) -> None:
        """Everything is here already."""
