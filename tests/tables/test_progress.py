"""progress: the fold of statuses into a row does not depend on their order or on repeats."""

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Status
from schemas.vocabulary import PUBLIC, RANK, Step
from tables.progress import Row, fold, pack, unpack


def status(step: Step = Step.ROUTED, **fields: object) -> Status:
    told = {"notification_id": "n1", "tenant": "shop", "user_id": "anna", "at_ms": 100, "position": "t/0/0", **fields}
    return msgspec.convert({"step": step, "accepted_ms": 50, **told}, Status)


def folded(*statuses: Status) -> Row | None:
    row = None
    for each in statuses:
        row = fold(row, each) or row
    return row


STATUSES = st.lists(
    st.builds(
        status,
        st.sampled_from(Step),
        at_ms=st.integers(1, 4),
        round=st.integers(1, 2),
        attempt=st.integers(0, 3),
        accepted_ms=st.integers(1, 3),
        channel=st.none() | st.sampled_from(["sms", "email"]),
        reason=st.sampled_from(["", "x", "y"]),
        provider=st.sampled_from(["", "a", "b"]),
        provider_message_id=st.sampled_from(["", "1"]),
    ),
    max_size=7,
)


@given(STATUSES, st.data())
def test_any_order_and_any_repetition_give_the_same_row(statuses: list[Status], data: st.DataObject) -> None:
    repeated = statuses + [each for each in statuses if data.draw(st.booleans())]
    shuffled = data.draw(st.permutations(repeated))
    assert folded(*shuffled) == folded(*statuses)


@given(STATUSES)
def test_folding_again_what_was_folded_changes_nothing(statuses: list[Status]) -> None:
    row = folded(*statuses)
    assert all(fold(row, each) is None for each in statuses)


@given(STATUSES)
def test_a_duplicate_never_changes_the_row(statuses: list[Status]) -> None:
    row = folded(*statuses)
    assert fold(row, status(Step.DUPLICATE, round=9, attempt=9, accepted_ms=0)) is None


def test_the_highest_round_and_in_it_the_highest_step_is_shown() -> None:
    first = [status(Step.ROUTED), status(Step.RETRYING), status(Step.DEAD)]
    for order in permutations([*first, status(Step.ROUTED, round=2)]):
        row = folded(*order)
        assert row is not None
        assert (row.round, row.step) == (2, "routed")


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (Step.HELD, Step.ROUTED),
        (Step.ROUTED, Step.RETRYING),
        (Step.RETRYING, Step.SUPPRESSED),
        (Step.RETRYING, Step.EXPIRED),
        (Step.SUPPRESSED, Step.DEAD),
        (Step.EXPIRED, Step.SENT),
        (Step.UNKNOWN, Step.SENT),
        (Step.DEAD, Step.SENT),
    ],
)
def test_a_later_step_outranks_an_earlier_one(low: Step, high: Step) -> None:
    for order in permutations([status(low), status(high)]):
        row = folded(*order)
        assert row is not None
        assert row.step == high


def test_the_public_view_of_each_step_is_that_of_the_store() -> None:
    for step in RANK:
        row = folded(status(step))
        assert row is not None
        assert row.public == PUBLIC[step].value


def test_retries_are_the_most_attempts_of_any_delivery_less_the_first() -> None:
    row = folded(status(Step.RETRYING, attempt=3), status(Step.SENT, attempt=1), status(Step.ROUTED))
    assert row is not None
    assert (row.retry_count, row.step) == (2, "sent")


def test_a_decision_about_no_notification_has_no_row() -> None:
    assert fold(None, status(Step.DEAD, notification_id="")) is None


def test_a_row_packs_and_unpacks() -> None:
    row = folded(status(Step.SENT, channel="sms", provider="twilio", provider_message_id="SM1", attempt=2))
    assert row is not None
    assert unpack(pack(row)) == row
