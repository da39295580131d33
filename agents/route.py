"""route: which channels, which addresses? One delivery for each, or the reason why there is none."""

from collections.abc import Callable, Sequence

from agents.intake import Intake, decide, sealed_params, tell
from agents.stage import Outbox, Tables
from schemas import metrics, topics
from schemas.channels import CHANNELS
from schemas.records import Delivery, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import BEST, Lane, Reason, Step
from tables.dedup import decided
from tables.preferences import Reach

_BITS = {name: channel.bit for name, channel in CHANNELS.items()}
_EVERY = {name for name, channel in CHANNELS.items() if channel.every}


def choose(item: Intake) -> tuple[list[Reach], Reason]:
    """The addresses a notification goes to, in order; when there is none, why."""
    entry, asked, limit = item.entry, item.notification, item.channels
    assert entry is not None, "enrich comes before route"
    wanted, opted_out = asked.channels, entry.opted_out
    best = limit is None and wanted == BEST
    named = (wanted,) if isinstance(wanted, str) else wanted
    chosen: list[Reach] = []
    taken: set[str] = set()
    refused = False
    for reach in entry.reaches:
        channel = reach.channel
        if limit is not None:
            if not limit & _BITS[channel]:
                continue
        elif not best and channel not in named:
            continue
        if channel in taken and (channel not in _EVERY or _among(chosen, reach)):
            continue
        if opted_out and entry.refuses(channel, asked.category):
            refused = True
            continue
        if best and taken and channel not in taken:
            break
        taken.add(channel)
        chosen.append(reach)
    return chosen, Reason.OPTED_OUT if refused else Reason.NO_ADDRESS


def _among(chosen: Sequence[Reach], reach: Reach) -> bool:
    """Whether an entry from before addresses were distinct names an address once more."""
    return any(other.hash == reach.hash and other.channel == reach.channel for other in chosen)


def route(
    lane: Lane, ring: KeyRing, clock: Callable[[], int]
) -> Callable[[Sequence[Intake], Tables, Outbox], Sequence[Intake]]:
    """The agent of one lane: deliveries to the channel topics, the decision to the statuses and to the dedup entry."""
    topic_of = {name: topics.deliveries(name, lane).name for name in CHANNELS}

    def agent(items: Sequence[Intake], tables: Tables, outbox: Outbox) -> Sequence[Intake]:
        now, owners, write, routed = clock(), tables["dedup"], outbox.records.append, 0
        for item in items:
            chosen, reason = choose(item)
            if chosen:
                for delivery in fan_out(item, chosen, now, ring):
                    write((topic_of[delivery.channel], item.name, encode(delivery), -1, None))
                tell(outbox, item, Step.ROUTED, now, Reason.NONE, len(chosen))
                routed += 1
            else:
                decide(outbox, lane, item, Step.SUPPRESSED, now, reason)
            if item.owner is not None:
                bits = 0
                for reach in chosen:
                    bits |= _BITS[reach.channel]
                owner_key, entry = item.owner
                owners[owner_key] = decided(entry, bits)
        outbox.count(metrics.DECISIONS, lane, Step.ROUTED, Reason.NONE, by=routed)
        return ()

    return agent


def fan_out(item: Intake, chosen: Sequence[Reach], now_ms: int, ring: KeyRing) -> list[Delivery]:
    """One delivery for each address; params are sealed once, addresses stay as they were sealed."""
    asked = item.notification
    params = sealed_params(item, ring)
    return [
        Delivery(
            notification_id=item.id,
            tenant=asked.tenant,
            user_id=asked.user_id,
            idempotency_key=asked.idempotency_key,
            round=asked.round,
            channel=reach.channel,
            message_class=asked.message_class,
            category=asked.category,
            template_id=asked.template_id,
            template_version=asked.template_version,
            address=reach.sealed,
            address_hash=reach.hash,
            params=params,
            deadline_ms=item.deadline_ms,
            due_ms=asked.due_ms or item.appended_ms,
            decided_at_ms=now_ms,
            accepted_ms=item.appended_ms,
            collapse_key=asked.collapse_key,
        )
        for reach in chosen
    ]
