"""dedup: which request owns an idempotency key, and what was decided about it."""

from struct import Struct
from typing import NamedTuple

from tables.table import Kind, Table

WINDOW_S = 24 * 3600
"""How long a key is owned, by append time."""

TABLE = Table("dedup", Kind.CHANGELOGGED, keep_s=26 * 3600, lingers=True)
"""Kept two hours longer than the window, so that a replay at its edge still finds its entry."""

GENERATION = 1
"""The generation of the input topics: offsets mean nothing in another one."""

_LAYOUT = Struct(">BBHqq8sB")


class Owner(NamedTuple):
    """The record that owns a key: where it lies, when it was appended, its digest, and the channel bits decided."""

    generation: int
    source: int
    partition: int
    offset: int
    appended_ms: int
    digest: bytes
    channels: int


pack = _LAYOUT.pack
"""Owner's fields, in order -> a 29-byte entry."""


_BYTES = [bytes([number]) for number in range(256)]


def decided(entry: bytes, channels: int) -> bytes:
    """The entry with the channel bits that route decided."""
    return entry[:-1] + _BYTES[channels]


def unpack(entry: bytes) -> Owner:
    """A 29-byte entry -> its owner."""
    return Owner._make(_LAYOUT.unpack(entry))
