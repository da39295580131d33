"""admit: is it readable, on its lane and in its user's partition? Otherwise say why not; mark what came too late."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from agents.bury import bury
from agents.hold import UNDECRYPTABLE_WAIT_MS, hold, wait
from agents.intake import ORIGIN, Intake, decide, keyed_again_from, origin, sealed_params
from agents.stage import Input, Outbox, Tables
from schemas import metrics, topics
from schemas.channels import CHANNELS
from schemas.errors import Malformed, Unsealable
from schemas.invalid import detail_of, is_newer
from schemas.keys import SEPARATOR, check_names, murmur2, notification_id
from schemas.records import MAX_INPUT_BYTES, MAX_VALUE_BYTES, Notification, canonical, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import BEST, CLASSES, Lane, MessageClass, Reason, Step
from tables.dedup import WINDOW_S

_ONE, _SEVERAL = {BEST, *CHANNELS}, frozenset(CHANNELS)
_ESCAPE = b"\\u"
"""JSON writes a control character as an escape: a record of ASCII without one holds no name that must be checked."""

LATEST_MS = 253_402_300_799_000
"""9999-12-31T23:59:59Z: a deadline behind a zone to the west of it would be in a year that no calendar here has."""
MOST_LEVELS = 64
"""How deep params may nest: what route reads on a short stack must not overflow a longer one in deliver."""

_CHANNELS = f"`$.channels`: expected {BEST}, or one or several of {', '.join(CHANNELS)}"
_NEWER = "`$.schema`: this reader knows 1"

_ENGINES = {"sealed_params": None, "due_ms": None, "tries": 0, "accepted_ms": None, "round": 1}
"""Fields that a producer's record leaves out, and what they are then."""

_decode = msgspec.json.Decoder(Notification).decode


def read(value: bytes | None, limit: int = MAX_INPUT_BYTES) -> Notification:
    """A notification from its JSON of `limit` bytes at most. Raises Malformed with the reason it is buried under."""
    if value is None:
        raise Malformed(Reason.NULL_RECORD)
    if len(value) > limit:
        raise Malformed(Reason.TOO_LARGE, f"{len(value)} bytes, at most {limit}")
    try:
        notification = _decode(value)
    except msgspec.ValidationError as error:
        if is_newer(value):
            raise Malformed(Reason.NEWER_SCHEMA, _NEWER) from None
        raise Malformed(Reason.INVALID, detail_of(value, Notification, error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(Reason.UNREADABLE, detail_of(value, Notification, error)) from None
    if notification.schema > 1:
        raise Malformed(Reason.NEWER_SCHEMA, _NEWER)
    if _ESCAPE in value or not value.isascii():
        _check_names(notification)
    channels = notification.channels
    if not channels:
        raise Malformed(Reason.INVALID, f"{_CHANNELS}, got none")
    if not (channels in _ONE if isinstance(channels, str) else _SEVERAL.issuperset(channels)):
        raise Malformed(Reason.UNKNOWN_CHANNEL, _CHANNELS)
    return notification


def _check_names(asked: Notification) -> None:
    names = f"{asked.tenant}{asked.user_id}{asked.idempotency_key}{asked.category}{asked.template_id}"
    if SEPARATOR in names or not names.isascii():
        check_names(
            tenant=asked.tenant,
            user_id=asked.user_id,
            idempotency_key=asked.idempotency_key,
            category=asked.category,
            template_id=asked.template_id,
        )


def deadline_ms(notification: Notification, appended_ms: int) -> int:
    """When a notification is of no use any more: as asked, else by its class from its append."""
    asked: datetime | None = notification.deadline
    if asked is not None:
        return min(int(asked.timestamp() * 1000), LATEST_MS)
    return appended_ms + CLASSES[notification.message_class].deadline_s * 1000


def admit(
    lane: Lane, ring: KeyRing, partitions: int, clock: Callable[[], int]
) -> Callable[[Sequence[Input], Tables, Outbox], list[Intake]]:
    """The agent of one lane: records in, intakes out. `clock` gives epoch milliseconds, once a batch."""
    returns, misplaced = topics.returns(lane).name, topics.misplaced(lane).name
    engines = (returns, misplaced)
    window_ms = WINDOW_S * 1000
    own = {kind for kind, rule in CLASSES.items() if rule.lane is lane}

    def agent(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> list[Intake]:
        now = clock()
        admitted = []
        for record in batch:
            topic = record.topic
            ours = topic in engines
            try:
                asked = read(record.value, MAX_VALUE_BYTES if ours else MAX_INPUT_BYTES)
                if asked.message_class not in own:
                    raise Malformed(Reason.WRONG_LANE, _elsewhere(asked.message_class))
                if topic == misplaced and keyed_again_from(record) is None:
                    raise Malformed(Reason.INVALID, f"no single header `{ORIGIN}` names the position it came from")
                id_ = notification_id(asked.tenant, lane, asked.user_id, asked.idempotency_key)
                params = _opened(asked, id_, ring) if ours else _given(asked)
            except Malformed as error:
                bury(outbox, record, error.reason, now, ring, lane, error.detail)
                continue
            except Unsealable:
                appended = asked.accepted_ms or record.timestamp
                item = Intake(record, asked, id_, b"", appended, deadline_ms(asked, appended))
                _wait_for_the_key(outbox, lane, item, now, ring)
                continue
            user = asked.user_id.encode()
            appended = asked.accepted_ms or record.timestamp if ours else record.timestamp
            item = Intake(record, asked, id_, params, appended, deadline_ms(asked, appended))
            if murmur2(None, user, len(user), partitions, None, None) != record.partition:
                _key_again(outbox, item, user, misplaced, lane, ring)
            elif topic != returns and now - record.timestamp > window_ms:
                decide(outbox, lane, item, Step.EXPIRED, now, Reason.PAST_WINDOW)
            elif item.deadline_ms <= now and topic == returns:
                decide(outbox, lane, item, Step.EXPIRED, now, Reason.PAST_DEADLINE)
            else:
                item.expired = item.deadline_ms <= now  # which a repeat is not, whatever became of the first
                admitted.append(item)
        return admitted

    return agent


def _elsewhere(kind: MessageClass) -> str:
    return f"`$.class`: {kind.value} is for {topics.notifications(CLASSES[kind].lane).name}"


def _given(asked: Notification) -> bytes:
    """The params of a producer's record, as they are passed on: which may take more room than as they came (1e15)."""
    engines_own = asked.sealed_params is not None or asked.due_ms is not None or asked.accepted_ms is not None
    if engines_own or asked.tries or asked.round != 1:
        named = (f"`$.{name}`" for name in _ENGINES if getattr(asked, name) != _ENGINES[name])
        raise Malformed(Reason.INVALID, f"only the engine writes {', '.join(named)}")
    params = canonical(asked.params)
    if len(params) > 2 * MOST_LEVELS and _is_deep(params, asked.params):
        raise Malformed(Reason.INVALID, f"`$.params`: expected at most {MOST_LEVELS} levels")
    if len(params) > MAX_INPUT_BYTES:
        raise Malformed(Reason.TOO_LARGE, f"params of {len(params)} bytes once written out, at most {MAX_INPUT_BYTES}")
    return params


def _is_deep(written: bytes, params: object) -> bool:
    if written.count(b"{") + written.count(b"[") <= MOST_LEVELS:
        return False
    level = [params]
    for _ in range(MOST_LEVELS):
        held = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in held for inner in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in level)


def _opened(asked: Notification, id_: str, ring: KeyRing) -> bytes:
    """The params of a record that the engine wrote itself, sealed. Raises Unsealable where no key here opens them."""
    if asked.sealed_params is None:
        raise Malformed(Reason.INVALID, "is not sealed: only the engine writes here")
    return ring.open(asked.sealed_params, id_.encode())


def _wait_for_the_key(outbox: Outbox, lane: Lane, item: Intake, now: int, ring: KeyRing) -> None:
    """What cannot be opened is not dead: the key may be another process's. What returns is held. What was keyed again
    has not been through dedup: it comes back as it is, under its origin, and is decided then."""
    asked, record = item.notification, item.record
    due_ms = min(now + UNDECRYPTABLE_WAIT_MS, item.deadline_ms)
    if item.deadline_ms <= now:
        decide(outbox, lane, item, Step.EXPIRED, now, Reason.UNDECRYPTABLE)
    elif record.topic == topics.returns(lane).name:
        hold(outbox, lane, item, asked.tries, due_ms, now, ring)
        decide(outbox, lane, item, Step.HELD, now, Reason.UNDECRYPTABLE)
    else:
        again, came_from = msgspec.structs.replace(asked, accepted_ms=item.appended_ms), origin(record).encode()
        wait(outbox, lane, record.topic, asked.user_id.encode(), encode(again), due_ms, now, came_from)
    outbox.count(metrics.UNDECRYPTABLE, f"route.{lane}")


def _key_again(outbox: Outbox, item: Intake, user: bytes, topic: str, lane: Lane, ring: KeyRing) -> None:
    again = msgspec.structs.replace(item.notification, params={}, sealed_params=sealed_params(item, ring))
    headers = [(ORIGIN, origin(item.record).encode())]
    outbox.records.append((topic, user, encode(again), -1, headers))
    outbox.count(metrics.MISPLACED, lane.value)
