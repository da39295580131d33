"""One delivery on its way through deliver: its record, the attempt, the work to do outside, and what it came to."""

from dataclasses import dataclass

from agents.hold import wait
from agents.provider import Kind, Message, Result
from agents.stage import Input, Outbox, Tables
from schemas import metrics, topics
from schemas.channels import CHANNELS
from schemas.keys import address_suppression, at, delivery_key
from schemas.records import DeadLetter, Delivery, Status, Suppression, Tried, encode
from schemas.vocabulary import Lane, Reason, Step
from tables.attempts import Attempt, State, pack


@dataclass(frozen=True, slots=True)
class Work:
    """A call that is announced: the delivery, where its record lay, and the rendered message."""

    delivery: Delivery
    topic: str
    partition: int
    offset: int
    message: Message
    started_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to. `called_ms` is when its first byte left, 0 if none did; `stopped` why it was not made."""

    work: Work
    result: Result
    called_ms: int
    stopped: Reason = Reason.NONE


def key_of(delivery: Delivery, partition: int) -> bytes:
    """The table key of a delivery whose record lies in `partition`.

    Where a channel reaches one address of a user, that address is no part of it: when a decision is replayed after the
    user has moved, its delivery to the new address is the same one, and not made again.
    """
    address = delivery.address_hash if CHANNELS[delivery.channel].every else ""
    return at(partition, delivery_key(delivery.notification_id, delivery.channel, address))


def attempt_of(delivery: Delivery, record: Input, provider: str, now_ms: int) -> Attempt:
    """A fresh attempt, as it is made durable before its call."""
    return Attempt(
        delivery.round,
        delivery.attempt,
        record.topic,
        record.partition,
        record.offset,
        provider,
        State.STARTED,
        now_ms,
        possible_duplicate=delivery.possible_duplicate,
        accepted_ms=delivery.accepted_ms,
        unspent=delivery.unspent,
    )


def follow(outbox: Outbox, lane: Lane, delivery: Delivery, attempt: Attempt, now_ms: int) -> None:
    """Write what follows from an attempt whose outcome is known: the next attempt, or the end; the same on a replay."""
    if attempt.state == State.RETRYABLE:
        again = _next(delivery, attempt)
        to = topics.deliveries(delivery.channel, lane).name
        wait(outbox, lane, to, delivery.notification_id.encode(), encode(again), attempt.due_ms, now_ms)
    elif attempt.step in (Step.DEAD, Step.UNKNOWN):
        _bury(outbox, lane, delivery, attempt, now_ms)
    if attempt.suppress:
        _suppress(outbox, delivery, attempt)
    tell(outbox, delivery, attempt, now_ms)


def _next(delivery: Delivery, attempt: Attempt) -> Delivery:
    fields = {name: getattr(delivery, name) for name in Delivery.__struct_fields__}
    fields |= {
        "attempt": attempt.number + 1,
        "unspent": attempt.unspent,
        "tried": attempt.tried,
        "due_ms": attempt.due_ms,
        "possible_duplicate": attempt.possible_duplicate,
    }
    return Delivery(**fields)


def _bury(outbox: Outbox, lane: Lane, delivery: Delivery, attempt: Attempt, now_ms: int) -> None:
    dead = DeadLetter(
        cause=attempt.reason,
        position=place(attempt),
        body=encode(delivery),
        at_ms=now_ms,
        notification_id=delivery.notification_id,
        tenant=delivery.tenant,
        user_id=delivery.user_id,
        idempotency_key=delivery.idempotency_key,
        channel=delivery.channel,
        tried=attempt.tried,
    )
    outbox.send(topics.DEAD_LETTERS, delivery.notification_id.encode(), encode(dead))
    outbox.count(metrics.BURIED, f"deliver.{delivery.channel}.{lane}", attempt.reason)


def _suppress(outbox: Outbox, delivery: Delivery, attempt: Attempt) -> None:
    key, last = address_suppression(delivery.tenant, delivery.address_hash, delivery.channel), attempt.tried[-1]
    told = Suppression(key=key.decode(), blocked=True, reason=last.reason, since_ms=last.at_ms)
    outbox.send(topics.SUPPRESSIONS, key, encode(told))


def tell(outbox: Outbox, delivery: Delivery, attempt: Attempt, now_ms: int) -> None:
    """The status of a delivery's move or end."""
    status = Status(
        notification_id=delivery.notification_id,
        tenant=delivery.tenant,
        user_id=delivery.user_id,
        step=Step(attempt.step),
        at_ms=now_ms,
        position=place(attempt),
        accepted_ms=delivery.accepted_ms,
        round=delivery.round,
        reason=attempt.reason,
        channel=delivery.channel,
        address_hash=delivery.address_hash,
        attempt=attempt.number,
        provider=attempt.provider,
        provider_message_id=attempt.message_id,
        possible_duplicate=attempt.possible_duplicate,
    )
    outbox.send(topics.STATUSES, delivery.notification_id.encode(), encode(status))


def place(attempt: Attempt) -> str:
    """The position of the record that asked for an attempt."""
    return f"{attempt.topic}/{attempt.partition}/{attempt.offset}"


def end(
    tables: Tables,
    outbox: Outbox,
    lane: Lane,
    delivery: Delivery,
    attempt: Attempt,
    step: Step,
    reason: str,
    now_ms: int,
) -> None:
    """A delivery ends: its attempt says so, and what follows is written."""
    step, reason = as_known(attempt, step, reason)
    attempt.state, attempt.step, attempt.reason = State.ENDED, step.value, reason
    tables["attempts"][key_of(delivery, attempt.partition)] = pack(attempt)
    outbox.count(metrics.ENDS, lane, delivery.channel, step.value, reason)
    follow(outbox, lane, delivery, attempt, now_ms)


def as_known(attempt: Attempt, step: Step, reason: str) -> tuple[Step, str]:
    """What may be said of an end: where an earlier call may have sent, a repeat that did not go proves nothing."""
    if attempt.possible_duplicate and step is not Step.SENT:
        return Step.UNKNOWN, Reason.OUTCOME_UNKNOWN.value
    return step, reason


def retry(
    tables: Tables,
    outbox: Outbox,
    lane: Lane,
    delivery: Delivery,
    attempt: Attempt,
    due_ms: int,
    reason: str,
    now_ms: int,
) -> None:
    """A delivery is tried again at `due_ms`."""
    attempt.state, attempt.step, attempt.reason, attempt.due_ms = State.RETRYABLE, Step.RETRYING.value, reason, due_ms
    tables["attempts"][key_of(delivery, attempt.partition)] = pack(attempt)
    follow(outbox, lane, delivery, attempt, now_ms)


def note(attempt: Attempt, result: Result, at_ms: int, earlier: list[Tried]) -> None:
    """Add what a call came to to what its delivery remembers."""
    tried = Tried(
        attempt=attempt.number,
        provider=attempt.provider,
        sent=result.sent.value,
        reason=result.reason,
        at_ms=at_ms,
        code=result.code,
    )
    attempt.tried = [*earlier, tried]
    attempt.message_id = result.message_id


NOT_STARTED = Result(Kind.UNAVAILABLE, "", "not_started")
CUT_OFF = Result(Kind.AMBIGUOUS, "", "cut_off")
"""What no provider has said: the attempt knows whose call it was."""
