"""When a delivery is tried again, and until when: by its class, unless the provider asks for more."""

from collections.abc import Callable

from agents.attempt import end, retry
from agents.stage import Outbox, Tables
from schemas.records import Delivery
from schemas.vocabulary import CLASSES, Lane, Reason, Step
from tables.attempts import Attempt

STALE_MS = 72 * 3600 * 1000
"""A decision older than this goes back through route: opt-outs are only kept as suppressions for so long."""
REPEAT_AFTER_MS = 1000
"""How soon an OTP of unknown outcome is sent once more, the same code."""
UNSPENT_WAITS_S = (1, 2, 4, 8, 30)
"""The wait after each attempt that made no call; the last is repeated until the deadline."""
JITTER = 0.1
"""Share of a wait that is drawn on top of it, so that what failed together does not come back together."""


def after_failure(
    tables: Tables,
    outbox: Outbox,
    lane: Lane,
    delivery: Delivery,
    attempt: Attempt,
    reason: str,
    retry_after_s: float | None,
    now_ms: int,
    draw: Callable[[], float],
) -> None:
    """A call that surely sent nothing and may do better later."""
    backoff = CLASSES[delivery.message_class].backoff_s
    spent = attempt.number - attempt.unspent
    if spent > len(backoff):
        end(tables, outbox, lane, delivery, attempt, Step.DEAD, Reason.RETRIES_SPENT, now_ms)
        return
    wait_s = max(backoff[spent - 1], retry_after_s or 0.0)
    due_ms = now_ms + int(wait_s * 1000 * (1 + JITTER * draw()))
    if due_ms >= delivery.deadline_ms:
        end(tables, outbox, lane, delivery, attempt, Step.EXPIRED, Reason.PAST_DEADLINE, now_ms)
    else:
        retry(tables, outbox, lane, delivery, attempt, due_ms, reason, now_ms)


def after_no_call(
    tables: Tables,
    outbox: Outbox,
    lane: Lane,
    delivery: Delivery,
    attempt: Attempt,
    reason: str,
    now_ms: int,
    draw: Callable[[], float],
) -> None:
    """Nothing has left us, as with no token or no connection: no attempt is spent, and it is tried again until its
    deadline. It leaves no trace among the calls that its delivery remembers, which would grow for a day."""
    attempt.unspent, attempt.tried = attempt.unspent + 1, delivery.tried
    longer = 1 + JITTER * draw()
    dues = [now_ms + int(wait_s * 1000 * longer) for wait_s in UNSPENT_WAITS_S[: attempt.unspent]]
    due_ms = max((due for due in dues if due < delivery.deadline_ms), default=None)
    if due_ms is None:
        end(tables, outbox, lane, delivery, attempt, Step.EXPIRED, Reason.PAST_DEADLINE, now_ms)
    else:
        retry(tables, outbox, lane, delivery, attempt, due_ms, reason, now_ms)


def after_unknown(
    tables: Tables, outbox: Outbox, lane: Lane, delivery: Delivery, attempt: Attempt, now_ms: int
) -> None:
    """A call that may have sent: an OTP goes once more within its deadline, anything else ends as unknown."""
    due_ms = now_ms + REPEAT_AFTER_MS
    once_more = CLASSES[delivery.message_class].repeat_unknown and not delivery.possible_duplicate
    if once_more and due_ms < delivery.deadline_ms:
        attempt.possible_duplicate = True
        retry(tables, outbox, lane, delivery, attempt, due_ms, Reason.OUTCOME_UNKNOWN, now_ms)
    else:
        end(tables, outbox, lane, delivery, attempt, Step.UNKNOWN, Reason.OUTCOME_UNKNOWN, now_ms)
