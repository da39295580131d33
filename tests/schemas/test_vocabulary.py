"""vocabulary: closed lists that agree with each other, and no word in them that nobody says."""

import re
from pathlib import Path

import pytest

from schemas.vocabulary import CLASSES, PUBLIC, RANK, Decision, End, Lane, MessageClass, Reason, Step

REPOSITORY = Path(__file__).parents[2]
CODE = "\n".join(
    path.read_text()
    for package in ("agents", "tables", "flows")
    for path in sorted((REPOSITORY / package).rglob("*.py"))
)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_every_reason_is_given_somewhere(reason: Reason) -> None:
    assert re.search(rf"Reason\.{reason.name}\b", CODE)


@pytest.mark.parametrize("step", Step)
def test_every_step_is_taken_somewhere(step: Step) -> None:
    assert re.search(rf"Step\.{step.name}\b", CODE)


def test_every_step_has_a_rank_and_a_public_view_but_a_duplicate_which_changes_no_row() -> None:
    assert set(Step) - set(RANK) == {Step.DUPLICATE}
    assert RANK.keys() == PUBLIC.keys()


def test_a_step_is_a_decision_an_end_or_a_retry() -> None:
    assert {*Decision} | {*End} | {"retrying"} == {step.value for step in Step}


def test_an_end_outranks_what_may_still_go_on_and_sent_outranks_every_end() -> None:
    pending = {Step.HELD, Step.ROUTED, Step.RETRYING}
    assert max(RANK[step] for step in pending) < min(RANK[step] for step in RANK.keys() - pending)
    assert RANK[Step.SENT] == max(RANK.values())


def test_only_marketing_is_of_the_low_lane_and_only_an_otp_is_repeated_when_nobody_knows() -> None:
    assert CLASSES.keys() == set(MessageClass)
    assert [kind for kind, rule in CLASSES.items() if rule.lane is Lane.LOW] == [MessageClass.MARKETING]
    assert [kind for kind, rule in CLASSES.items() if rule.repeat_unknown] == [MessageClass.OTP]


def test_every_word_is_fit_for_a_label_and_a_topic() -> None:
    for words in (Lane, MessageClass, Decision, End, Step, Reason):
        assert all(re.fullmatch(r"[a-z_]*", word.value) for word in words)
