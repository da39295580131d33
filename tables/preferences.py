"""preferences: where a user can be reached and what they opted out of, folded from the compacted topic."""

import msgspec

from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.keys import SEPARATOR, user_key
from schemas.records import Preference
from schemas.sealing import KeyRing
from schemas.topics import PREFERENCES
from schemas.vocabulary import Reason
from tables.table import Kind, Table


class Reach(msgspec.Struct, array_like=True, gc=False):
    """A verified address of a user: its channel, its sealed form and the hash that suppressions know it by."""

    channel: str
    sealed: bytes
    hash: str


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A user's entry: reaches in preferred order, and opt-outs as `channel/category` where either may be `*`."""

    version: int
    reaches: list[Reach]
    opted_out: list[str]

    def refuses(self, channel: str, category: str) -> bool:
        """Whether the user opted out of `category` on `channel`."""
        out = self.opted_out
        return bool(out) and any(f"{where}/{what}" in out for where in (channel, "*") for what in (category, "*"))


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Entry).decode
_decode = msgspec.json.Decoder(Preference).decode


def context(tenant: str, user_id: str) -> bytes:
    """What a user's sealed addresses are bound to."""
    return user_key(tenant, user_id)


def read(value: bytes) -> Preference:
    """A preference record from its JSON. Raises Malformed."""
    try:
        preference = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(Reason.UNREADABLE, type(error).__name__) from None
    if preference.schema > 1:
        raise Malformed(Reason.NEWER_SCHEMA, f"schema {preference.schema}, this reader knows 1")
    if SEPARATOR in f"{preference.tenant}{preference.user_id}":
        raise Malformed(Reason.INVALID, "a name holds the separator of keys, U+001F")
    return preference


def entry_of(preference: Preference, ring: KeyRing) -> Entry:
    """The entry of a preference: unverified and ill-formed addresses left out, plain ones sealed."""
    reaches: list[Reach] = []
    bound = context(preference.tenant, preference.user_id)
    for address in preference.addresses:
        channel = CHANNELS.get(address.channel)
        if channel is None or not address.verified:
            continue
        if address.sealed is not None and address.hash is not None:
            reaches.append(Reach(address.channel, address.sealed, address.hash))
        elif address.address is not None and channel.accepts(address.address):
            hashed = ring.address_hash(preference.tenant, address.address)
            reaches.append(Reach(address.channel, ring.seal(address.address.encode(), bound), hashed))
    order = {name: place for place, name in enumerate(preference.preferred)}
    reaches.sort(key=lambda reach: (order.get(reach.channel, len(order)), CHANNELS[reach.channel].rank))
    opted_out = [f"{choice.channel}/{choice.category}" for choice in preference.opt_outs if choice.out]
    return Entry(preference.version, reaches, opted_out)


def fold(key: bytes, value: bytes | None, ring: KeyRing) -> tuple[bytes, bytes | None] | None:
    """A record of the compacted topic -> its entry. A tombstone deletes nothing: absence must not mean consent."""
    if value is None:
        return None
    try:
        preference = read(value)
    except Malformed:
        return None
    return user_key(preference.tenant, preference.user_id), pack(entry_of(preference, ring))


TABLE = Table("preferences", Kind.SOURCE_BACKED, source=PREFERENCES, fold=fold)
