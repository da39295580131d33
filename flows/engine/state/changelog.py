"""A changelog record: what one batch wrote to one partition of a table, as a whole.

Entries expire, so a changelog is deleted by age and never compacted; a record per batch instead of one per entry costs
the producer, the broker and a restore a hundredth.
"""

from collections.abc import Iterator, Mapping

import msgspec

from schemas.records import MAX_VALUE_BYTES

_pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(dict[bytes, bytes | None]).decode
"""A record's value -> entries by key, None for a deleted one."""


def pack(entries: Mapping[bytes, bytes | None]) -> Iterator[bytes]:
    """Values of records that together hold `entries`: one, or more where one would be too large."""
    value = _pack(entries)
    if len(value) <= MAX_VALUE_BYTES or len(entries) == 1:
        yield value
        return
    halves = list(entries.items())
    yield from pack(dict(halves[: len(halves) // 2]))
    yield from pack(dict(halves[len(halves) // 2 :]))
