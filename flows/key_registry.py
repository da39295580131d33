"""The key ring that a cluster is used with, by its fingerprint.

`carillon setup` registers the ring; a process that seals or opens compares its own first. A registration in the topic
`key_ring` counts unless one before it contradicts it, so every process reads the same result, and of two setups at the
same time the first one written holds.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from flows.reading import Reader, position
from flows.settings import Settings
from flows.upstream import Upstream
from schemas import topics
from schemas.errors import Misconfigured
from schemas.records import KeyRegistration, encode
from schemas.sealing import Fingerprint

PARTITION = 0
_KEEP = "set the keys that this cluster was set up with (a local stack has them in .carillon/keys.env)"
_decode = msgspec.json.Decoder(KeyRegistration).decode

log = logging.getLogger("carillon.keys")


@dataclass(slots=True)
class Registered:
    """The registrations of a cluster, folded in log order. An empty `index_key` says that there is none."""

    index_key: str = ""
    keys: dict[int, str] = field(default_factory=dict)
    retired: set[int] = field(default_factory=set)

    def apply(self, found: KeyRegistration) -> None:
        """Take a registration, unless it contradicts one before it."""
        if not self.contradictions(Fingerprint(found.index_key, found.keys)):
            self.index_key = found.index_key
            self.keys |= found.keys
            self.retired |= set(found.retired)

    def contradictions(self, mine: Fingerprint) -> list[str]:
        """Where a ring has another key than the cluster, each with what to do."""
        if not self.index_key:
            return []
        found = [] if mine.index_key == self.index_key else ["CARILLON_INDEX_KEY is not the cluster's index key"]
        shared = sorted(mine.keys.keys() & self.keys.keys())
        return found + [
            f"key id {number} in CARILLON_KEYS is another key than the cluster's key {number}"
            for number in shared
            if mine.keys[number] != self.keys[number]
        ]

    def check(self, mine: Fingerprint) -> None:
        """Raises Misconfigured, with the remedy, where a process with this ring must not work in the cluster."""
        if not self.index_key:
            raise Misconfigured("no key ring is registered in this cluster: run `carillon setup`")
        self.check_known(mine)
        if new := _ids(mine.keys.keys() - self.keys.keys()):
            raise Misconfigured(
                f"{new} in CARILLON_KEYS is not registered in this cluster: add it to CARILLON_KEYS of every process, "
                "then run `carillon setup`"
            )

    def check_known(self, mine: Fingerprint, retiring: Sequence[int] = ()) -> None:
        """As `check`, but keys that the cluster does not know yet are allowed."""
        if wrong := self.contradictions(mine):
            raise Misconfigured(f"{'; '.join(wrong)}: {_KEEP}")
        retired = self.retired | set(retiring)
        if lacking := _ids(self.keys.keys() - mine.keys.keys() - retired):
            raise Misconfigured(
                f"CARILLON_KEYS lacks {lacking}, which this cluster is used with: add it; once no record or row sealed "
                "by it is left, `carillon setup --retire-key ID` lets processes do without it"
            )
        if (sealing := max(mine.keys)) in retired:
            raise Misconfigured(f"key id {sealing} is retired but seals, as the highest id in CARILLON_KEYS: add a key")


def check(settings: Settings) -> None:
    """Raises Misconfigured where the settings' key ring is not the cluster's. Call it before sealing or opening."""
    _read(settings).check(settings.ring().fingerprint)


def register(settings: Settings, retiring: Sequence[int] = (), *, new: bool = False) -> list[int]:
    """Register the key ids that the cluster does not know yet and retire others; returns the ids that are new.

    `new` says that the topic was made just now, so that nothing is in it. Raises Misconfigured as `Registered.check`.
    """
    mine, known = settings.ring().fingerprint, Registered() if new else _read(settings)
    known.check_known(mine, retiring)
    if unknown := set(retiring) - known.keys.keys():
        raise Misconfigured(f"{_ids(unknown)} cannot be retired: this cluster is used with {_ids(known.keys)}")
    added = sorted(mine.keys.keys() - known.keys.keys())
    if added or set(retiring) - known.retired:
        record = KeyRegistration(index_key=mine.index_key, keys=dict(mine.keys), retired=list(retiring))
        upstream = Upstream(settings.kafka)
        upstream.write(topics.KEY_RING.name, mine.index_key, encode(record), partition=PARTITION)
        upstream.flush()
    check(settings)
    return added


def _read(settings: Settings) -> Registered:
    found, reader = Registered(), Reader(settings.kafka)
    try:
        places = [place for place in reader.partitions(topics.KEY_RING.name) if place[1] == PARTITION]
        for message in reader.read(places):
            try:
                found.apply(_decode(message.value() or b""))
            except (msgspec.DecodeError, UnicodeDecodeError):
                log.warning("key_registration_unreadable", extra={"position": position(message)})
    finally:
        reader.close()
    return found


def _ids(numbers: Sequence[int] | set[int] | dict[int, str]) -> str:
    """`key id 1` or `key ids 1, 2`; empty for none."""
    listed = ", ".join(map(str, sorted(numbers)))
    return f"key id{'s' if len(numbers) > 1 else ''} {listed}" if listed else ""
