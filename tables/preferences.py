"""preferences: where a user can be reached and what they opted out of, folded from the compacted topic.

A record is in canonical form when its key is the user's, it lies in the user's partition, and each address is sealed.
Producers write others; remember writes those again. Whatever the order in which records about a user arrive, and
wherever a restore begins, the one with the greatest (version, time of acceptance) holds: `outranks` alone decides it.
"""

from collections.abc import Iterable, Sequence

import msgspec

from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.invalid import detail_of, is_newer
from schemas.keys import SEPARATOR, category_key, check_names, covers, partition_of, user_key
from schemas.records import MAX_ADDRESS, Address, OptOut, Preference
from schemas.sealing import KeyRing
from schemas.topics import PREFERENCES
from schemas.vocabulary import Reason
from tables.table import Fold, Kind, Source, Table

_HEX = "0123456789abcdef"
_OPT_OUT_CHANNELS = {"*", *CHANNELS}
EXPECTED_CHANNEL = f"expected one of {', '.join(CHANNELS)}"


class Reach(msgspec.Struct, array_like=True, gc=False):
    """A verified address of a user: its channel, its sealed form and the hash that suppressions know it by."""

    channel: str
    sealed: bytes
    hash: str


class Rest(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """What routing does not ask for, kept so that the record can be written again."""

    others: list[Address] = []
    preferred: list[str] = []
    opted_in: list[OptOut] = []
    locale: str | None = None
    time_zone: str | None = None
    home_region: str | None = None
    opted_out_before: bool = False


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A user's entry: reaches in preferred order, and opt-outs as `channel/category` where either may be `*`.

    `accepted_ms` orders two records of one version; `rest` is None where a record says no more than this.
    """

    version: int
    accepted_ms: int
    reaches: list[Reach]
    opted_out: list[str]
    rest: Rest | None = None

    def refuses(self, channel: str, category: str) -> bool:
        """Whether the user opted out of `category` on `channel`."""
        return covers(self.opted_out, channel, category)

    @property
    def speaks_of_opt_outs(self) -> bool:
        """Whether this version or one before it named any: then suppressions may have heard of them."""
        rest = self.rest
        return bool(self.opted_out) or (rest is not None and (rest.opted_out_before or bool(rest.opted_in)))


class Told(msgspec.Struct, gc=False):
    """A record as it was read; its preference says when it was accepted. `key` is that of its user's entry.

    `takes_back` says of a canonical one that it must be written again: it is silent about the opt-outs of an earlier
    version, and does not say that there were some.
    """

    key: bytes
    preference: Preference
    at_home: bool
    canonical: bool
    takes_back: bool = False


class _Order(msgspec.Struct, array_like=True, gc=False):
    """How an entry begins."""

    version: int
    accepted_ms: int


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Entry).decode
_order = msgspec.msgpack.Decoder(_Order).decode
_decode = msgspec.json.Decoder(Preference).decode


def context(tenant: str, user_id: str) -> bytes:
    """What a user's sealed addresses are bound to."""
    return user_key(tenant, user_id)


def read(value: bytes) -> Preference:
    """A preference record from its JSON. Raises Malformed.

    The types limit every field, so whatever is read fits a record of ours once it is sealed. An opt-out that is not
    understood refuses the whole record: without it, a record may take back what the user still refuses.
    """
    try:
        preference = _decode(value)
    except msgspec.ValidationError as error:
        reason = Reason.NEWER_SCHEMA if is_newer(value) else Reason.INVALID
        raise Malformed(reason, detail_of(value, Preference, error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(Reason.UNREADABLE, detail_of(value, Preference, error)) from None
    if preference.schema > 1:
        raise Malformed(Reason.NEWER_SCHEMA, "`$.schema`: this reader knows 1")
    _check(preference)
    return preference


def _check(preference: Preference) -> None:
    """Raise Malformed for what the types do not say."""
    names = preference.tenant + preference.user_id
    if SEPARATOR in names or not names.isascii():
        check_names(tenant=preference.tenant, user_id=preference.user_id)
    for place, address in enumerate(preference.addresses):
        if address.hash is not None and address.hash.strip(_HEX):
            raise Malformed(Reason.INVALID, f"`$.addresses[{place}].hash`: expected lower-case hexadecimal digits")
    for place, choice in enumerate(preference.opt_outs):
        if choice.channel not in _OPT_OUT_CHANNELS:
            raise Malformed(Reason.UNKNOWN_CHANNEL, f"`$.opt_outs[{place}].channel`: {EXPECTED_CHANNEL} or *")
        category = category_key(choice.category)
        if not category:
            raise Malformed(Reason.INVALID, f"`$.opt_outs[{place}].category`: is white space")
        if SEPARATOR in category or not category.isascii():
            check_names(**{f"opt_outs[{place}].category": category})


def told(source: Source) -> Told:
    """A record of the topic. Raises Malformed.

    Only a canonical record may say when it was accepted, and not that it was later than its own append: a producer who
    claims it wins nothing by it, since a higher version is theirs to write anyway.
    """
    preference = read(source.value or b"")
    key = user_key(preference.tenant, preference.user_id)
    at_home = partition_of(preference.user_id.encode(), source.partitions) == source.partition
    canonical = at_home and key == source.key and _is_sealed(preference)
    claimed = preference.accepted_ms if canonical else None
    preference.accepted_ms = source.at_ms if claimed is None else min(claimed, source.at_ms)
    return Told(key, preference, at_home, canonical)


def outranks(said: Told, standing: bytes | None) -> bool:
    """Whether a record takes the place of the entry that stands. One of the same order does: it is the same record, or
    another of its moment that lies later in the log."""
    if standing is None:
        return True
    before, preference = _order(standing), said.preference
    return (preference.version, preference.accepted_ms or 0) >= (before.version, before.accepted_ms)


def address_fault(address: Address) -> str | None:
    """Why a producer's address cannot be sealed, if it cannot."""
    if address.sealed is not None and address.hash is not None:
        return None
    plain, channel = address.address, CHANNELS.get(address.channel)
    if plain is None:
        return "is missing"
    if channel is not None:
        return None if channel.accepts(plain) else f"expected {channel.form}"
    return None if len(plain.encode()) <= MAX_ADDRESS else f"expected {MAX_ADDRESS} bytes of UTF-8 at most"


def sealed(preference: Preference, ring: KeyRing) -> Preference:
    """A preference with every address sealed for its user, each once. What is ill-formed, or sealed without a hash, is
    left out; what is not verified, or of a channel that is not known here, is kept."""
    if _is_sealed(preference):
        return preference
    kept = [found for address in preference.addresses if (found := _sealed(address, preference, ring)) is not None]
    return msgspec.structs.replace(preference, addresses=[*_distinct(kept)])


def sealed_address(
    ring: KeyRing, tenant: str, user_id: str, channel: str, address: str, verified: bool = True
) -> Address:
    """An address in its channel's normal form: unreadable, with the hash it is looked up by."""
    known = CHANNELS.get(channel)
    normal = known.normalise(address) if known is not None else address
    seal = ring.seal(normal.encode(), context(tenant, user_id))
    return Address(channel=channel, sealed=seal, hash=ring.address_hash(tenant, normal), verified=verified)


def _is_sealed(preference: Preference) -> bool:
    return all(a.sealed is not None and a.hash is not None and a.address is None for a in preference.addresses)


def _sealed(address: Address, preference: Preference, ring: KeyRing) -> Address | None:
    if address.sealed is not None and address.hash is not None:
        return msgspec.structs.replace(address, address=None)
    if address.address is None or address_fault(address) is not None:
        return None
    whose = preference.tenant, preference.user_id
    return sealed_address(ring, *whose, address.channel, address.address, address.verified)


def _distinct(addresses: Sequence[Address]) -> Iterable[Address]:
    """Each address of a channel once, at its first place, and verified if one of them is: two would be two deliveries
    under one key of attempts, of which the second never ends."""
    if len({address.hash for address in addresses}) == len(addresses):
        return addresses
    found: dict[tuple[str, str | None], Address] = {}
    for address in addresses:
        name = address.channel, address.hash
        if name not in found or (address.verified and not found[name].verified):
            found[name] = address
    return found.values()


def entry_of(preference: Preference, ring: KeyRing) -> Entry:
    """The entry of a preference, its addresses sealed."""
    reaches: list[Reach] = []
    others: list[Address] = []
    for address in _distinct(sealed(preference, ring).addresses):
        if address.verified and address.channel in CHANNELS:
            reaches.append(Reach(address.channel, address.sealed or b"", address.hash or ""))
        else:
            others.append(address)
    order = {name: place for place, name in reversed([*enumerate(preference.preferred)])}
    reaches.sort(key=lambda reach: (order.get(reach.channel, len(order)), CHANNELS[reach.channel].rank))
    opted_in = [choice for choice in preference.opt_outs if not choice.out]
    where = preference.locale, preference.time_zone, preference.home_region
    more = (others, preference.preferred, opted_in, *where, preference.opted_out_before)
    rest = Rest(*more) if any(more) else None
    return Entry(preference.version, preference.accepted_ms or 0, reaches, opted_out(preference), rest)


def opted_out(preference: Preference) -> list[str]:
    """What a preference opts out of, each as `channel/category`."""
    return [f"{choice.channel}/{category_key(choice.category)}" for choice in preference.opt_outs if choice.out]


def record_of(key: bytes, entry: Entry) -> Preference:
    """The canonical record of the entry under `key`."""
    tenant, _, user_id = key.decode().partition(SEPARATOR)
    rest = entry.rest or Rest()
    reached = [Address(channel=reach.channel, sealed=reach.sealed, hash=reach.hash) for reach in entry.reaches]
    refused = [OptOut(channel=where, category=what) for where, _, what in (o.partition("/") for o in entry.opted_out)]
    return Preference(
        tenant=tenant,
        user_id=user_id,
        version=entry.version,
        addresses=reached + rest.others,
        preferred=rest.preferred,
        opt_outs=rest.opted_in + refused,
        locale=rest.locale,
        time_zone=rest.time_zone,
        home_region=rest.home_region,
        accepted_ms=entry.accepted_ms,
        opted_out_before=rest.opted_out_before,
    )


def follow(said: Told, standing: bytes | None, ring: KeyRing) -> bytes | None:
    """The entry after a record, or None where the one that stands outranks it.

    A version that is silent about the opt-outs of the one before takes them back. So that this is told whenever the
    record is read, and from it alone, its preference says from now on that there were some.
    """
    if not outranks(said, standing):
        return None
    preference = said.preference
    if standing is not None and not preference.opt_outs and not preference.opted_out_before:
        preference.opted_out_before = unpack(standing).speaks_of_opt_outs
        said.takes_back = said.canonical and preference.opted_out_before
    return pack(entry_of(preference, ring))


def _read(source: Source) -> tuple[bytes, Told] | None:
    """A tombstone deletes nothing: absence must not mean consent. A record outside its user's partition says nothing:
    remember writes it again where it belongs."""
    if source.value is None:
        return None
    try:
        said = told(source)
    except Malformed:
        return None
    return (said.key, said) if said.at_home else None


def _after(said: Told, standing: bytes | None, ring: KeyRing) -> bytes | None:
    return follow(said, standing, ring) or standing


TABLE = Table("preferences", Kind.SOURCE_BACKED, source=PREFERENCES, fold=Fold(_read, _after))
