"""remember: a changed preference becomes the table's entry, and its opt-outs the suppressions that outrun a backlog.

One lane of the two also tells: it writes what is not in canonical form again, deletes it where it lay, and says from
the canonical record alone what is suppressed, so that each change is told once.
"""

from collections.abc import Callable, Iterator, Sequence

from agents.bury import post
from agents.stage import Input, Outbox, Tables, position
from schemas import topics
from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.keys import SEPARATOR, at, partition_of, user_suppression
from schemas.records import Preference, Suppression, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Reason
from tables.preferences import (
    EXPECTED_CHANNEL,
    Told,
    address_fault,
    follow,
    opted_out,
    record_of,
    sealed,
    told,
    unpack,
)
from tables.suppressions import OPT_OUTS_FOR_MS
from tables.table import Entries, Source

MOST_SAID = 8
"""How many fields of one record its dead letter names."""

_SEPARATOR = SEPARATOR.encode()
"""Stands in every canonical key."""


def remember(
    ring: KeyRing, clock: Callable[[], int], partitions: int, *, tell: bool
) -> Callable[[Sequence[Input], Tables, Outbox], None]:
    """The stage over `preferences`, a topic of so many `partitions`."""

    def stage(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
        now, entries = clock(), tables["preferences"]
        found = [(record, _read(record, partitions, now, ring, outbox if tell else None)) for record in batch]
        entries.load(_keys(found))
        outdone: dict[tuple[int, bytes], None] = {}
        for record, said in found:
            holds = said is not None and said.at_home and _take(said, record.partition, entries, ring)
            if record.key and _SEPARATOR in record.key:
                outdone[record.partition, record.key] = None
            if said is None:
                continue
            if holds and not said.takes_back:
                outdone.pop((record.partition, said.key), None)
            if tell and not said.canonical:
                _bring_home(record, said, holds or not said.at_home, partitions, now, ring, outbox)
            elif tell and holds and not said.takes_back and now - record.timestamp <= OPT_OUTS_FOR_MS:
                _suppress(said.preference, record.timestamp, outbox)
        if tell:
            for partition, key in outdone:
                _hold(key, entries.get(at(partition, key)), partitions, outbox)

    return stage


def _read(record: Input, partitions: int, now_ms: int, ring: KeyRing, dead_letters: Outbox | None) -> Told | None:
    """What a record says, if anything. One that cannot be read is buried by the lane that tells."""
    if record.value is None:
        return None
    try:
        return told(Source(record.key or b"", record.value, record.timestamp, record.partition, partitions))
    except Malformed as error:
        if dead_letters is not None:
            post(dead_letters, record, position(record), error.reason, now_ms, ring, error.detail)
        return None


def _say_unusable(record: Input, preference: Preference, now_ms: int, ring: KeyRing, outbox: Outbox) -> None:
    """One dead letter for what of a record reaches nobody, though the rest of it holds."""
    if found := [*_unusable(preference)]:
        more = f"; and {len(found) - MOST_SAID} more" if len(found) > MOST_SAID else ""
        detail = "; ".join(why for _, why in found[:MOST_SAID]) + more
        post(outbox, record, position(record), found[0][0], now_ms, ring, detail)


def _unusable(preference: Preference) -> Iterator[tuple[Reason, str]]:
    for place, address in enumerate(preference.addresses):
        if address.channel not in CHANNELS:
            yield Reason.UNKNOWN_CHANNEL, f"`$.addresses[{place}].channel`: {EXPECTED_CHANNEL}"
        if (why := address_fault(address)) is not None:
            yield Reason.INVALID, f"`$.addresses[{place}].address`: {why}"
    for place, channel in enumerate(preference.preferred):
        if channel not in CHANNELS:
            yield Reason.UNKNOWN_CHANNEL, f"`$.preferred[{place}]`: {EXPECTED_CHANNEL}"


def _keys(found: Sequence[tuple[Input, Told | None]]) -> Iterator[bytes]:
    """The entries that records are about, and those whose canonical records they lie upon."""
    for record, said in found:
        if said is not None and said.at_home:
            yield at(record.partition, said.key)
        if record.key and _SEPARATOR in record.key:
            yield at(record.partition, record.key)


def _take(said: Told, partition: int, entries: Entries, ring: KeyRing) -> bool:
    """Make a record the entry of its user, unless a greater one stands. Whether it holds."""
    key = at(partition, said.key)
    entry = follow(said, entries.get(key), ring)
    if entry is None:
        return False
    entries[key] = entry
    return True


def _bring_home(
    record: Input, said: Told, holds: bool, partitions: int, now: int, ring: KeyRing, outbox: Outbox
) -> None:
    """Write a record in canonical form, unless the entry outranks it, and delete it where it lay.

    Left there it would keep its plain addresses for ever. A key with the separator is a canonical one: its own, which
    the copy takes the place of, or by mistake somebody else's.
    """
    if holds:
        _say_unusable(record, said.preference, now, ring, outbox)
        _write(sealed(said.preference, ring), said.key, partitions, outbox)
    own = record.key == said.key
    if record.key and (not said.at_home if own else _SEPARATOR not in record.key):
        outbox.records.append((topics.PREFERENCES.name, record.key, None, record.partition, None))


def _hold(key: bytes, entry: bytes | None, partitions: int, outbox: Outbox) -> None:
    """Write the record that holds behind one that does not: compaction keeps what lies last under a key, be it of a
    lower version, somebody else's, or a tombstone."""
    if entry is not None:
        _write(record_of(key, unpack(entry)), key, partitions, outbox)


def _write(preference: Preference, key: bytes, partitions: int, outbox: Outbox) -> None:
    home = partition_of(preference.user_id.encode(), partitions)
    outbox.records.append((topics.PREFERENCES.name, key, encode(preference), home, None))


def _suppress(preference: Preference, since_ms: int, outbox: Outbox) -> None:
    """Tell all opt-outs of a user from a canonical record, which its own append puts in order: canonical records of a
    user follow one another in one partition, whenever each of them was accepted."""
    if not preference.opt_outs and not preference.opted_out_before:
        return
    key = user_suppression(preference.tenant, preference.user_id)
    scopes = opted_out(preference)
    reason = Reason.OPTED_OUT.value
    said = Suppression(key=key.decode(), blocked=bool(scopes), reason=reason, since_ms=since_ms, opt_outs=scopes)
    outbox.send(topics.SUPPRESSIONS, key, encode(said))
