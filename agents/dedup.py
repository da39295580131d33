"""dedup: has this request been decided before? A repeat ends here; our own replay goes through as it went."""

from collections.abc import Callable, Sequence

from agents.bury import bury
from agents.intake import Intake, decide
from agents.stage import Outbox, Tables
from schemas import topics
from schemas.records import Notification
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step
from tables.dedup import GENERATION, WINDOW_S, Owner, pack, unpack


def request_digest(asked: Notification, params: bytes, ring: KeyRing) -> bytes:
    """8 bytes of what is asked for; `produced_at`, the producer's clock, takes no part."""
    rest = (
        f"{asked.channels}\x1f{asked.category}\x1f{asked.message_class}\x1f{asked.template_id}\x1f"
        f"{asked.template_version}\x1f{asked.deadline}\x1f{asked.collapse_key}\x1f"
    )
    return ring.digest(rest.encode() + params)


def dedup(
    lane: Lane, ring: KeyRing, clock: Callable[[], int]
) -> Callable[[Sequence[Intake], Tables, Outbox], list[Intake]]:
    """The agent of one lane. Writes the owner of each new key; what route decides is added to it."""
    returns = topics.returns(lane).name
    source_of = {topics.notifications(lane).name: 0, topics.misplaced(lane).name: 1}
    window_ms = WINDOW_S * 1000

    def agent(items: Sequence[Intake], tables: Tables, outbox: Outbox) -> list[Intake]:
        now, entries = clock(), tables["dedup"]
        keys = [item.id.encode() for item in items]
        entries.load(keys)
        passed = []
        for item, key in zip(items, keys, strict=True):
            record = item.record
            if record.topic == returns:
                passed.append(item)
                continue
            digest = request_digest(item.notification, item.params, ring)
            mine = (GENERATION, source_of[record.topic], record.partition, record.offset, record.timestamp, digest)
            entry = entries.get(key)
            owner = unpack(entry) if entry is not None else None
            if owner is None or record.timestamp - owner.appended_ms >= window_ms:
                item.owner = (key, mine)
                entries[key] = pack(*mine, 0)
                passed.append(item)
            elif _ours(owner, mine):
                item.owner = (key, owner[:6])
                item.channels = owner.channels or None
                passed.append(item)
            elif owner.digest == digest:
                decide(outbox, lane, item, Step.DUPLICATE, now, Reason.SAME_REQUEST)
            else:
                bury(outbox, record, Reason.CONFLICT, now, ring, lane)
        return passed

    return agent


def _ours(owner: Owner, mine: tuple[int, int, int, int, int, bytes]) -> bool:
    """Whether the record owns the key itself (a replay), or an earlier stretch is replayed behind a newer owner."""
    return owner[:3] == mine[:3] and owner.offset >= mine[3]
