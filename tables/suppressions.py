"""suppressions: who must not be called now, held whole by every process and asked right before a call."""

from collections.abc import Sequence
from struct import Struct

import msgspec

from schemas.keys import address_suppression, covers
from schemas.records import Suppression
from schemas.sealing import KeyRing
from schemas.topics import SUPPRESSIONS
from tables.table import Fold, Kind, Source, Table

OPT_OUTS_FOR_MS = 73 * 3600 * 1000
"""How long the opt-outs of a change block a call. A decision older than 72 h goes back through route, which knows the
preference itself; the hour more is for clocks that differ."""

_LAYOUT = Struct(">?q")
_decode = msgspec.json.Decoder(Suppression).decode
_pack_scopes = msgspec.msgpack.Encoder().encode
_unpack_scopes = msgspec.msgpack.Decoder(list[str]).decode


def address_keys(tenant: str, channel: str, address_hash: str) -> tuple[bytes, bytes]:
    """The keys under which the address of a delivery may be suppressed."""
    return address_suppression(tenant, address_hash, channel), address_suppression(tenant, address_hash, "*")


def blocks(entry: bytes | None) -> bool:
    """Whether the entry of an address forbids the call."""
    return entry is not None and bool(_LAYOUT.unpack_from(entry)[0])


def refuses(entry: bytes | None, channel: str, category: str, now_ms: int) -> bool:
    """Whether the entry of a user forbids the call: what the user changed lately covers it."""
    if entry is None:
        return False
    blocked, since_ms = _LAYOUT.unpack_from(entry)
    if not blocked or now_ms - since_ms > OPT_OUTS_FOR_MS:
        return False
    return covers(_unpack_scopes(entry[_LAYOUT.size :]), channel, category)


def pack(blocked: bool, since_ms: int, opt_outs: Sequence[str] = ()) -> bytes:
    """An entry, of an address or with the opt-outs of a user."""
    return _LAYOUT.pack(blocked, since_ms) + (_pack_scopes(opt_outs) if opt_outs else b"")


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
    if standing is not None and _LAYOUT.unpack_from(standing)[1] > said.since_ms:
        return standing
    return pack(said.blocked, said.since_ms, said.opt_outs)


TABLE = Table("suppressions", Kind.REPLICATED, source=SUPPRESSIONS, fold=Fold(_read, _after))
