"""unsettled: an outcome that settle cannot write ends its delivery all the same, by what is short and known of it."""

from collections.abc import Callable

import msgspec

from agents.attempt import Outcome, end, note
from agents.provider import Sent
from agents.stage import Outbox, Tables
from schemas.vocabulary import Lane, Reason, Step
from tables.attempts import Attempt, State

_STEPS = {Sent.YES: Step.SENT, Sent.NO: Step.DEAD, Sent.MAYBE: Step.UNKNOWN}
_LONGEST = 256
"""Characters of what a provider said that are kept."""


def bury_outcome(lane: Lane, clock: Callable[[], int]) -> Callable[[Outcome, str, Tables, Outbox], None]:
    """What becomes of an outcome on which settle raised, or which led to too large a record.

    Its dead letter holds no body and no earlier attempts, and says where the record lies. What the provider took counts
    as sent, what it may have taken as unknown: nothing goes twice.
    """

    def bury(outcome: Outcome, detail: str, tables: Tables, outbox: Outbox) -> None:
        work, said = outcome.work, outcome.result
        delivery = msgspec.structs.replace(work.delivery, address=b"", params=b"", tried=[], collapse_key=None)
        attempt = Attempt(
            delivery.round,
            delivery.attempt,
            work.topic,
            work.partition,
            work.offset,
            said.provider,
            State.STARTED,
            work.started_ms,
            possible_duplicate=delivery.possible_duplicate,
            accepted_ms=delivery.accepted_ms,
        )
        note(attempt, said, outcome.called_ms, [])
        attempt.suppress = said.suppress
        attempt.message_id = said.message_id[:_LONGEST]
        attempt.tried = [msgspec.structs.replace(tried, code=tried.code[:_LONGEST]) for tried in attempt.tried]
        end(tables, outbox, lane, delivery, attempt, _STEPS[said.sent], Reason.STAGE_FAILED, clock())

    return bury
