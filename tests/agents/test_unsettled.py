"""unsettled: an outcome that cannot be written as it is ends its delivery by what is short of it."""

import pytest

from agents.attempt import Outcome
from agents.provider import Kind, Result
from agents.stage import Outbox
from agents.unsettled import bury_outcome
from flows.engine.guarded import TooLarge, measure
from schemas import topics
from schemas.records import MAX_RECORD_BYTES, Tried
from tables.attempts import State
from tests.agents.world import NOW, Delivering, a_delivery, ruled, steps, written

LONG = "x" * MAX_RECORD_BYTES
TRIED = [Tried(attempt=1, provider="twilio", sent="no", reason=LONG, at_ms=NOW)]


@pytest.mark.parametrize(
    ("result", "step", "letters"),
    [
        (ruled(Kind.ACCEPTED, message_id=LONG, code=LONG), "sent", 0),
        (ruled(Kind.AMBIGUOUS, code=LONG), "unknown", 1),
        (ruled(Kind.UNAVAILABLE, code=LONG), "dead", 1),
        (ruled(Kind.REJECTED_RECIPIENT, code=LONG, suppress=True), "dead", 1),
    ],
)
def test_a_delivery_ends_as_its_call_did_and_all_that_is_written_fits(result: Result, step: str, letters: int) -> None:
    delivering, delivery = Delivering(), a_delivery(tried=TRIED, params={"number": "1", "text": LONG})
    outcome = Outcome(delivering.announce(delivery, 7), result, NOW)
    with pytest.raises(TooLarge):
        measure(delivering.settle(outcome).records)
    outbox = Outbox()
    bury_outcome(delivering.lane, delivering.world.clock)(outcome, "too large", delivering.world.tables, outbox)
    measure(outbox.records)
    assert [found for found, _ in steps(outbox)] == [step]
    dead = written(outbox, topics.DEAD_LETTERS)
    assert [letter["position"] for letter in dead] == ["sms_notifications.high/0/7"] * letters
    assert len(written(outbox, topics.SUPPRESSIONS)) == result.suppress
    latest = delivering.latest(delivery)
    assert (latest.state, latest.step, latest.offset) == (State.ENDED, step, 7)
    assert len(latest.message_id) <= 256
