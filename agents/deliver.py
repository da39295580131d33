"""deliver: what may go, goes: announced durably, rendered, checked once more right before its first byte.

`deliver` is the stage over deliveries, `call` what is done outside, `agents/settle.py` the stage over what it came to.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from agents.attempt import CUT_OFF, NOT_STARTED, Outcome, Work, as_known, attempt_of, end, follow, key_of, note, tell
from agents.bury import post
from agents.hold import UNDECRYPTABLE_WAIT_MS, release, wait
from agents.policy import STALE_MS, after_unknown
from agents.provider import Message, Provider, Result
from agents.render import Known, Template
from agents.stage import Input, Later, Outbox, Tables, position
from schemas import metrics, topics
from schemas.errors import Malformed, Unsealable
from schemas.keys import user_suppression
from schemas.records import Delivery, Notification, Status, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step
from tables.attempts import Attempt, Verdict, judge, pack, unpack
from tables.dedup import WINDOW_S
from tables.preferences import context
from tables.suppressions import address_keys, blocks, refuses

WINDOW_MS = WINDOW_S * 1000
"""A request accepted a whole dedup window after another of its key is a new one: its attempts begin anew."""
TEMPLATE_WAIT_MS = 20
LEAST_LEFT_MS = 1000
"""The shortest life that providers can be told."""

_decode = msgspec.json.Decoder(Delivery).decode
_params = msgspec.json.Decoder(dict[str, object]).decode


class Suppressed(Protocol):
    """The suppressions, asked without waiting."""

    def get(self, key: bytes, /) -> bytes | None: ...


class Deliver:
    """The stage and the call of one channel on one lane."""

    def __init__(
        self,
        lane: Lane,
        provider: Provider,
        templates: Known,
        ring: KeyRing,
        clock: Callable[[], int],
    ) -> None:
        self._lane, self._provider, self._templates, self._ring, self._clock = lane, provider, templates, ring, clock

    def stage(self, batch: Sequence[Input], tables: Tables, outbox: Outbox) -> Later | None:
        """Announce what may go; end, drop or send on what may not."""
        now = self._clock()
        attempts, found = tables["attempts"], [(record, _read(record)) for record in batch]
        keys = [key_of(it, record.partition) if not isinstance(it, str) else b"" for record, it in found]
        attempts.load([key for key in keys if key])
        for index, (record, delivery) in enumerate(found):
            if isinstance(delivery, str):
                bury_record(outbox, record, delivery, now, self._ring)
                continue
            entry = attempts.get(keys[index])
            latest = unpack(entry) if entry is not None else None
            if latest is not None and delivery.accepted_ms - latest.accepted_ms >= WINDOW_MS:
                latest = None
            verdict = judge(latest, delivery.round, delivery.attempt, record.topic, record.partition, record.offset)
            if verdict is Verdict.GO:
                template = self._templates.peek(delivery.template_id, delivery.template_version)
                if template is None:
                    self._fetch_ahead(found[index + 1 :])
                    return Later(index, now + TEMPLATE_WAIT_MS)
                self._go(record, delivery, template, tables, outbox, now)
            elif verdict is Verdict.REPLAY and latest is not None:
                # A process that was killed may have left it on its disk alone: written again, it is logged.
                attempts[keys[index]] = pack(latest)
                follow(outbox, self._lane, delivery, latest, now)
            elif verdict is Verdict.UNKNOWN and latest is not None:
                note(latest, CUT_OFF, latest.started_ms, delivery.tried)
                after_unknown(tables, outbox, self._lane, delivery, latest, now)
            else:
                outbox.count(metrics.REPEATS, self._lane, delivery.channel)
        return None

    def _fetch_ahead(self, found: Sequence[tuple[Input, Delivery | str]]) -> None:
        """Have the templates of these deliveries fetched at the same time, so that their waits do not add up."""
        for _, delivery in found:
            if not isinstance(delivery, str):
                self._templates.peek(delivery.template_id, delivery.template_version)

    def _go(
        self, record: Input, delivery: Delivery, template: Template | Reason, tables: Tables, outbox: Outbox, now: int
    ) -> None:
        attempt = attempt_of(delivery, record, self._provider.name, now)
        attempt.tried = delivery.tried
        lane = self._lane
        if now >= delivery.deadline_ms:
            late = Reason.PAST_DEADLINE if self._opens(delivery) else Reason.UNDECRYPTABLE
            end(tables, outbox, lane, delivery, attempt, Step.EXPIRED, late, now)
        elif now - delivery.decided_at_ms > STALE_MS:
            self._send_back(delivery, outbox, now)
        elif (why := self.refusal(tables["suppressions"], delivery, now)) is not None:
            end(tables, outbox, lane, delivery, attempt, Step.SUPPRESSED, why, now)
        elif template is Reason.TEMPLATE_UNAVAILABLE:
            to, key = topics.deliveries(delivery.channel, lane).name, delivery.notification_id.encode()
            wait(outbox, lane, to, key, encode(delivery), now + 1000, now)
        elif isinstance(template, Reason):
            end(tables, outbox, lane, delivery, attempt, Step.DEAD, template, now)
        else:
            self._announce(record, delivery, template, attempt, tables, outbox, now)

    def _announce(
        self,
        record: Input,
        delivery: Delivery,
        template: Template,
        attempt: Attempt,
        tables: Tables,
        outbox: Outbox,
        now: int,
    ) -> None:
        try:
            message = self._message(delivery, template, now)
        except Unsealable:
            self._wait_for_the_key(delivery, outbox, now)
            return
        except Malformed as error:
            end(tables, outbox, self._lane, delivery, attempt, Step.DEAD, error.reason, now)
            return
        tables["attempts"][key_of(delivery, record.partition)] = pack(attempt)
        outbox.call(Work(delivery, record.topic, record.partition, record.offset, message, now))

    def _wait_for_the_key(self, delivery: Delivery, outbox: Outbox, now: int) -> None:
        """What cannot be opened is not dead: the key may be another process's. It stays the attempt that it is."""
        to, due_ms = topics.deliveries(delivery.channel, self._lane).name, now + UNDECRYPTABLE_WAIT_MS
        value, key = encode(delivery), delivery.notification_id.encode()
        wait(outbox, self._lane, to, key, value, min(due_ms, delivery.deadline_ms), now)
        outbox.count(metrics.UNDECRYPTABLE, f"deliver.{delivery.channel}.{self._lane}")

    def _opens(self, delivery: Delivery) -> bool:
        try:
            self._opened(delivery)
        except Unsealable:
            return False
        return True

    def _opened(self, delivery: Delivery) -> tuple[bytes, bytes]:
        """Params and address. Raises Unsealable."""
        params = self._ring.open(delivery.params, delivery.notification_id.encode())
        return params, self._ring.open(delivery.address, context(delivery.tenant, delivery.user_id))

    def _message(self, delivery: Delivery, template: Template, now: int) -> Message:
        id_, (params, address) = delivery.notification_id, self._opened(delivery)
        ttl_s, deadline_s = _life(delivery.deadline_ms, now)
        return Message(
            ref=f"{id_}.{delivery.channel}.{delivery.round}.{delivery.attempt}",
            channel=delivery.channel,
            address=address.decode(),
            parts=template.render(delivery.channel, _params(params)),
            message_class=delivery.message_class,
            ttl_s=ttl_s,
            deadline_s=deadline_s,
            collapse_key=delivery.collapse_key or id_,
        )

    def _send_back(self, delivery: Delivery, outbox: Outbox, now: int) -> None:
        """Let route decide again, with the preferences of today and as a new round."""
        asked = Notification(
            tenant=delivery.tenant,
            idempotency_key=delivery.idempotency_key,
            user_id=delivery.user_id,
            channels=delivery.channel,
            category=delivery.category,
            message_class=delivery.message_class,
            template_id=delivery.template_id,
            template_version=delivery.template_version,
            deadline=datetime.fromtimestamp(delivery.deadline_ms / 1000, UTC),
            collapse_key=delivery.collapse_key,
            sealed_params=delivery.params,
            due_ms=now,
            accepted_ms=delivery.accepted_ms,
            round=delivery.round + 1,
        )
        release(outbox, topics.returns(self._lane).name, delivery.user_id.encode(), encode(asked))

    @staticmethod
    def refusal(suppressions: Suppressed, delivery: Delivery, now_ms: int) -> Reason | None:
        """Why a delivery must not go now, if it must not."""
        for key in address_keys(delivery.tenant, delivery.channel, delivery.address_hash):
            if blocks(suppressions.get(key)):
                return Reason.ADDRESS_SUPPRESSED
        opt_outs = suppressions.get(user_suppression(delivery.tenant, delivery.user_id))
        return Reason.OPTED_OUT if refuses(opt_outs, delivery.channel, delivery.category, now_ms) else None


def _read(record: Input) -> Delivery | str:
    """The delivery, or the name of the error that it cannot be read for."""
    try:
        return _decode(record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return type(error).__name__


Last = Callable[[], Message | None]
"""Asked with nothing awaited before the first byte: the message as it is now, None if it must not leave."""
Send = Callable[[Provider, Message, Last], Awaitable[Result]]


def caller(provider: Provider, send: Send, clock: Callable[[], int]) -> Callable[[Work, Tables], Awaitable[Outcome]]:
    """What is done outside for one announced delivery: the call, and right before its first byte the last check."""

    async def call(work: Work, tables: Tables) -> Outcome:
        deadline_ms, asked_ms, called_ms, stopped = work.delivery.deadline_ms, clock(), 0, Reason.NONE
        if asked_ms >= deadline_ms:
            return Outcome(work, NOT_STARTED, 0, Reason.PAST_DEADLINE)
        message = _as_of(asked_ms, work.message, deadline_ms)

        def last() -> Message | None:
            nonlocal called_ms, stopped
            now = clock()
            if now >= deadline_ms:
                stopped = Reason.PAST_DEADLINE
            else:
                stopped = Deliver.refusal(tables["suppressions"], work.delivery, now) or Reason.NONE
            if stopped:
                return None
            called_ms = now
            return message if now == asked_ms else _as_of(now, message, deadline_ms)

        result = await send(provider, message, last)
        return Outcome(work, NOT_STARTED if stopped else result, called_ms, stopped)

    return call


def _as_of(now_ms: int, message: Message, deadline_ms: int) -> Message:
    ttl_s, deadline_s = _life(deadline_ms, now_ms)
    return replace(message, ttl_s=ttl_s, deadline_s=deadline_s)


def _life(deadline_ms: int, now_ms: int) -> tuple[float, int]:
    """What a provider is told of a message's life: the seconds left, and the UTC second of its end."""
    left_ms = max(LEAST_LEFT_MS, deadline_ms - now_ms)
    return left_ms / 1000, (now_ms + left_ms) // 1000


def abandon(work: Work, started: bool) -> Outcome:
    """What is known of a call that was cut off, or never begun."""
    return Outcome(work, CUT_OFF if started else NOT_STARTED, work.started_ms if started else 0)


def bury_record(outbox: Outbox, record: Input, detail: str, now_ms: int, ring: KeyRing) -> None:
    """Bury a record of a channel's topic that cannot be read or on which the stage raised.

    What can be read is told as the end of its delivery; the rest is known by its position alone.
    """
    place = position(record)
    post(outbox, record, place, Reason.STAGE_FAILED, now_ms, ring, detail)
    read = _read(record)
    if isinstance(read, Delivery):
        attempt = attempt_of(read, record, "", now_ms)
        step, attempt.reason = as_known(attempt, Step.DEAD, Reason.STAGE_FAILED.value)
        attempt.step = step.value
        tell(outbox, read, attempt, now_ms)
        return
    status = Status(
        notification_id="",
        tenant="",
        user_id="",
        step=Step.DEAD,
        at_ms=now_ms,
        position=place,
        reason=Reason.STAGE_FAILED.value,
        channel=record.topic.split("_", 1)[0],
    )
    outbox.send(topics.STATUSES, place.encode(), encode(status))
