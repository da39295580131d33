"""remember: a changed preference becomes the table's entry, and its opt-outs the suppressions that outrun a backlog."""

from collections.abc import Callable, Sequence

from agents.bury import letter
from agents.stage import Input, Outbox, Tables, position
from schemas import topics
from schemas.errors import Malformed
from schemas.keys import opt_out_suppression, user_key
from schemas.records import Suppression, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Reason
from tables.preferences import entry_of, pack, read, unpack

SUPPRESS_FOR_MS = 72 * 3600 * 1000
"""A decision older than this goes back through route, so an opt-out older than this needs no suppression."""


def remember(
    ring: KeyRing, clock: Callable[[], int], *, tell: bool
) -> Callable[[Sequence[Input], Tables, Outbox], None]:
    """The stage over `preferences`. One lane tells the suppressions, so that each change is told once."""

    def stage(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
        now, entries = clock(), tables["preferences"]
        found = []
        for record in batch:
            if record.value is not None:
                try:
                    found.append((record, read(record.value)))
                except Malformed as error:
                    if tell:
                        place = position(record)
                        dead = letter(record, place, error.reason, now, ring, error.detail)
                        outbox.send(topics.DEAD_LETTERS, place.encode(), encode(dead))
        entries.load([user_key(p.tenant, p.user_id) for _, p in found])
        for record, preference in found:
            key = user_key(preference.tenant, preference.user_id)
            earlier = entries.get(key)
            if earlier is not None and unpack(earlier).version > preference.version:
                continue
            entries[key] = pack(entry_of(preference, ring))
            if not tell or now - record.timestamp > SUPPRESS_FOR_MS:
                continue
            for choice in preference.opt_outs:
                scope = opt_out_suppression(preference.tenant, preference.user_id, choice.channel, choice.category)
                told = Suppression(
                    key=scope.decode(), blocked=choice.out, reason=Reason.OPTED_OUT.value, since_ms=record.timestamp
                )
                outbox.send(topics.SUPPRESSIONS, scope, encode(told))

    return stage
