"""Preferences on their way through remember: as producers and the engine write them, and what was made of them."""

from typing import Any

import msgspec

from agents.remember import remember
from agents.stage import Outbox
from schemas import topics
from schemas.keys import partition_of, user_key
from schemas.records import Preference, encode
from tables.preferences import Entry, unpack
from tests.agents.world import HOME, MAILBOX, NOW, PARTITIONS, PHONE, RING, Record, World, preference_key, written

KEY = user_key("shop", "anna")
BERTS = partition_of(b"bert", PARTITIONS)
PLAIN = [{"channel": "sms", "address": PHONE}, {"channel": "email", "address": MAILBOX}]
OUT, IN = {"channel": "sms", "category": "news"}, {"channel": "sms", "category": "news", "out": False}
SCOPE = "sms/news"


def preference(**fields: Any) -> Preference:
    """A preference, Anna's by default."""
    return msgspec.convert({"tenant": "shop", "user_id": "anna", "version": 1, **fields}, Preference)


def upstream(offset: int = 0, at: int = NOW, place: int = HOME, key: bytes | None = b"anna", **fields: Any) -> Record:
    """A record as producers write it."""
    return Record("preferences", place, offset, at, key, encode(preference(**fields)))


def canonical(offset: int = 0, at: int = NOW, **fields: Any) -> Record:
    """A record as the engine writes it."""
    return upstream(offset, at, key=KEY, **fields)


def run(world: World, *batch: Record, tell: bool = True) -> Outbox:
    """Run the stage over a batch."""
    outbox = Outbox()
    remember(RING, world.clock, PARTITIONS, tell=tell)(batch, world.tables, outbox)
    return outbox


def entry(world: World) -> Entry:
    """Anna's entry in the table."""
    return unpack(world.tables["preferences"][preference_key()])


def again(outbox: Outbox) -> list[tuple[bytes | None, bytes | None, int]]:
    """(key, value, partition) of what goes to the topic of preferences."""
    return [(key, value, place) for topic, key, value, place, _ in outbox.records if topic == topics.PREFERENCES.name]


def copied(outbox: Outbox, offset: int = 100, at: int = NOW + 5) -> Record:
    """The one record written to the topic that deletes nothing, as it comes back."""
    ((key, value, place),) = [found for found in again(outbox) if found[1] is not None]
    return Record("preferences", place, offset, at, key, value)


def suppressions(outbox: Outbox) -> list[list[str]]:
    """The opt-outs of every suppression written, in order."""
    found = written(outbox, topics.SUPPRESSIONS)
    assert all(record["blocked"] is bool(record.get("opt_outs")) for record in found)
    return [record.get("opt_outs", []) for record in found]
