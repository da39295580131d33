"""settle: what a call came to becomes the next attempt or the end of its delivery."""

from collections.abc import Callable, Sequence

from agents.attempt import NOT_STARTED, Outcome, end, key_of, note
from agents.policy import after_failure, after_no_call, after_unknown
from agents.provider import Kind
from agents.stage import Outbox, Tables
from schemas import metrics
from schemas.vocabulary import Lane, Reason, Step
from tables.attempts import Attempt, unpack

_TRY_AGAIN = (Kind.THROTTLED, Kind.UNAVAILABLE, Kind.MISCONFIGURED)


def settle(
    lane: Lane, clock: Callable[[], int], draw: Callable[[], float]
) -> Callable[[Sequence[Outcome], Tables, Outbox], None]:
    """The stage over outcomes of one lane. `draw` gives numbers from 0 to 1 for jitter."""

    def stage(outcomes: Sequence[Outcome], tables: Tables, outbox: Outbox) -> None:
        now = clock()
        tables["attempts"].load([key_of(outcome.work.delivery, outcome.work.partition) for outcome in outcomes])
        for outcome in outcomes:
            attempt = _announced(outcome, tables)
            _measure(outcome, attempt.provider, lane, outbox)
            _settle_one(outcome, attempt, lane, tables, outbox, now, draw)

    return stage


def _announced(outcome: Outcome, tables: Tables) -> Attempt:
    work = outcome.work
    entry = tables["attempts"].get(key_of(work.delivery, work.partition))
    assert entry is not None, "an attempt is announced before its call"
    attempt = unpack(entry)
    note(attempt, outcome.result, outcome.called_ms or work.started_ms, work.delivery.tried)
    return attempt


def _settle_one(
    outcome: Outcome,
    attempt: Attempt,
    lane: Lane,
    tables: Tables,
    outbox: Outbox,
    now: int,
    draw: Callable[[], float],
) -> None:
    delivery, result = outcome.work.delivery, outcome.result
    if outcome.stopped is Reason.PAST_DEADLINE:
        end(tables, outbox, lane, delivery, attempt, Step.EXPIRED, outcome.stopped, now)
    elif outcome.stopped:
        end(tables, outbox, lane, delivery, attempt, Step.SUPPRESSED, outcome.stopped, now)
    elif result.kind is Kind.ACCEPTED:
        end(tables, outbox, lane, delivery, attempt, Step.SENT, "", now)
    elif result.kind is Kind.AMBIGUOUS:
        after_unknown(tables, outbox, lane, delivery, attempt, now)
    elif result.kind in _TRY_AGAIN and not outcome.called_ms:
        after_no_call(tables, outbox, lane, delivery, attempt, result.reason, now, draw)
    elif result.kind in _TRY_AGAIN:
        after_failure(tables, outbox, lane, delivery, attempt, result.reason, result.retry_after_s, now, draw)
    else:
        attempt.suppress = result.suppress
        step = Step.SUPPRESSED if result.kind is Kind.OPTED_OUT else Step.DEAD
        end(tables, outbox, lane, delivery, attempt, step, result.reason or Reason.REFUSED, now)


def _measure(outcome: Outcome, provider: str, lane: Lane, outbox: Outbox) -> None:
    if outcome.result is NOT_STARTED:
        return
    delivery = outcome.work.delivery
    labels = (lane, delivery.channel, provider, outcome.result.kind.value)
    outbox.count(metrics.SENT, *labels)
    if outcome.called_ms:
        outbox.observe(metrics.LATENCY, outcome.called_ms - delivery.due_ms, *labels)
