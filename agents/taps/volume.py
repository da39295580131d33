"""volume: how many deliveries of each tenant ended on each channel, hour by hour, each counted once.

The entry of a tenant, channel and hour is a count and the offset after the last record in it: a batch that comes again
after a crash is told by its offsets. Each partition has its own entries, so a total is their sum.
"""

from collections.abc import Sequence
from struct import Struct

import msgspec

from agents.stage import Input, Outbox, Tables
from schemas import metrics
from schemas.keys import SEPARATOR, at
from schemas.records import Status
from schemas.topics import STATUSES
from schemas.vocabulary import Step
from tables.table import Kind, Table

READS = STATUSES
HOUR_MS = 3_600_000
TABLE = Table("volume", Kind.CHANGELOGGED, keep_s=26 * 3600)

_LAYOUT = Struct(">Qq")
_GOES_ON = {Step.HELD, Step.ROUTED, Step.RETRYING, Step.DUPLICATE}
_decode = msgspec.json.Decoder(Status).decode

pack = _LAYOUT.pack
"""(count, next offset) -> a 16-byte entry."""
unpack = _LAYOUT.unpack


def tap(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
    """Count the ends of deliveries; decisions about a whole notification have no channel."""
    entries = tables[TABLE.name]
    ends = [
        (at(record.partition, _name(status)), record.offset, status)
        for record in batch
        if (status := _end(record)) is not None
    ]
    entries.load([key for key, _, _ in ends])
    for key, offset, status in ends:
        count, next_offset = unpack(entries.get(key) or pack(0, 0))
        if offset >= next_offset:
            entries[key] = pack(count + 1, offset + 1)
            outbox.count(metrics.VOLUME, status.tenant, status.channel or "", status.step.value)


def _end(record: Input) -> Status | None:
    status = _decode(record.value) if record.value is not None else None
    return status if status is not None and status.channel and status.step not in _GOES_ON else None


def _name(status: Status) -> bytes:
    return SEPARATOR.join((status.tenant, status.channel or "", str(status.at_ms // HOUR_MS))).encode()
