"""suppressions: who must not be called now, held whole by every process and asked right before a call."""

from struct import Struct

import msgspec

from schemas.keys import address_suppression, opt_out_suppression
from schemas.records import Suppression
from schemas.sealing import KeyRing
from schemas.topics import SUPPRESSIONS
from tables.table import Fold, Kind, Source, Table

_LAYOUT = Struct(">?q")
_decode = msgspec.json.Decoder(Suppression).decode


def keys_of(tenant: str, user_id: str, channel: str, category: str, address_hash: str) -> list[bytes]:
    """Every key under which a delivery may be suppressed."""
    return [
        address_suppression(tenant, address_hash, channel),
        address_suppression(tenant, address_hash, "*"),
        opt_out_suppression(tenant, user_id, channel, category),
        opt_out_suppression(tenant, user_id, channel, "*"),
        opt_out_suppression(tenant, user_id, "*", category),
        opt_out_suppression(tenant, user_id, "*", "*"),
    ]


def blocks(entry: bytes | None) -> bool:
    """Whether an entry forbids the call."""
    return entry is not None and bool(_LAYOUT.unpack(entry)[0])


def pack(blocked: bool, since_ms: int) -> bytes:
    """An entry."""
    return _LAYOUT.pack(blocked, since_ms)


def _read(source: Source) -> tuple[bytes, Suppression] | None:
    """A tombstone lifts nothing."""
    if source.value is None:
        return None
    try:
        return source.key, _decode(source.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _after(said: Suppression, standing: bytes | None, ring: KeyRing) -> bytes:
    """The later one holds, by `since_ms`; of two of one moment the one that lies later in the log."""
    if standing is not None and _LAYOUT.unpack(standing)[1] > said.since_ms:
        return standing
    return pack(said.blocked, said.since_ms)


TABLE = Table("suppressions", Kind.REPLICATED, source=SUPPRESSIONS, fold=Fold(_read, _after))
