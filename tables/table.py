"""What a table is, and how a stage sees it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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


Fold = Callable[[bytes, bytes | None, KeyRing], tuple[bytes, bytes | None] | None]
"""(key, value, ring) of a source record -> (entry key, entry, or None to delete), or None for a record of no use."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `keep_s` bounds the life of an entry, here and in the changelog; None keeps it."""

    name: str
    kind: Kind
    keep_s: int | None = None
    source: Topic | None = None
    fold: Fold | None = None


class Entries(Protocol):
    """A table as a stage sees it: load what the batch needs in one read, then get and set."""

    def load(self, keys: Iterable[bytes]) -> None:
        """Read `keys` at once; `get` then costs nothing."""

    def get(self, key: bytes, /) -> bytes | None:
        """The entry under a loaded or written key, or None."""

    def __setitem__(self, key: bytes, entry: bytes, /) -> None: ...


class DictEntries(dict[bytes, bytes]):
    """A table that is a dict: the twin of the engine's, for tests and for reading a stage."""

    def load(self, keys: Iterable[bytes]) -> None:
        """Everything is here already."""
