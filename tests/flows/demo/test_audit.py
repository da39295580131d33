"""The reckoning finds what is missing: every kind of hole in otherwise sound topics is named."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from flows.demo.audit import Audit, Reckoning
from schemas import topics
from schemas.records import Status, encode
from schemas.topics import Topic
from schemas.vocabulary import Lane, Step

HIGH = topics.notifications(Lane.HIGH).name
RETURNS = topics.returns(Lane.HIGH).name


def status(step: Step, position: str, id_: str = "n1", **more: Any) -> Status:
    return Status(
        notification_id=id_, tenant="t", user_id="u", step=step, at_ms=2, accepted_ms=1, position=position, **more
    )


def sound() -> tuple[dict[str, list[str]], list[Status], list[dict[str, Any]]]:
    """Inputs by topic, statuses and rows of: one sent on two channels, one held and then suppressed, one broken."""
    inputs = {HIGH: [f"{HIGH}/0/0", f"{HIGH}/0/1", f"{HIGH}/0/2"], RETURNS: [f"{RETURNS}/0/0"]}
    statuses = [
        status(Step.ROUTED, f"{HIGH}/0/0", deliveries=2),
        status(Step.RETRYING, "sms/0/0", channel="sms", address_hash="a", attempt=1),
        status(Step.SENT, "sms/0/1", channel="sms", address_hash="a", attempt=2),
        status(Step.DEAD, "email/0/0", channel="email", address_hash="b", attempt=1, reason="refused"),
        status(Step.HELD, f"{HIGH}/0/1", "n2", reason="unknown_user"),
        status(Step.SUPPRESSED, f"{RETURNS}/0/0", "n2", reason="unknown_user"),
        status(Step.DEAD, f"{HIGH}/0/2", "", reason="unreadable"),
    ]
    return inputs, statuses, [row("n1", "SENT", 107), row("n2", "FAILED", 105)]


def row(id_: str, public: str, rank: int) -> dict[str, Any]:
    return {"notification_id": {"S": id_}, "status": {"S": public}, "rank": {"N": str(rank)}}


def reckon(inputs: dict[str, list[str]], statuses: list[Status], rows: list[dict[str, Any]]) -> Reckoning:
    def read(topic: Topic) -> list[tuple[str, bytes | None]]:
        if topic is topics.STATUSES:
            return [(f"{topic.name}/0/{offset}", encode(status)) for offset, status in enumerate(statuses)]
        return [(position, b"") for position in inputs.get(topic.name, [])]

    return Audit(read).take(rows)


def test_sound_topics_close_both_sums() -> None:
    found = reckon(*sound())
    assert found.missing == []
    assert (found.announced, found.ended, found.held) == (2, 2, 1)
    assert [(intake.records, intake.decided) for intake in found.intakes] == [(3, 3), (1, 1), (0, 0), (0, 0)]
    assert found.retried == {"sms": 1}
    assert found.example == "n1"


def test_a_replay_that_says_the_same_again_changes_nothing() -> None:
    inputs, statuses, rows = sound()
    assert reckon(inputs, statuses + statuses, rows) == reckon(inputs, statuses, rows)


Harm = Callable[[dict[str, list[str]], list[Status], list[dict[str, Any]]], None]


def _drop(index: int) -> Harm:
    return lambda inputs, statuses, rows: statuses.__delitem__(index)


def _change(index: int, **fields: Any) -> Harm:
    def harm(inputs: dict[str, list[str]], statuses: list[Status], rows: list[dict[str, Any]]) -> None:
        statuses.append(msgspec.structs.replace(statuses[index], **fields))

    return harm


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (_drop(6), f"1 records of {HIGH} without a decision: {HIGH}/0/2"),
        (_drop(5), f"1 records of {RETURNS} without a decision: {RETURNS}/0/0"),
        (_change(6, reason="conflict"), f"1 records of {HIGH} with more than one decision: {HIGH}/0/2"),
        (lambda inputs, statuses, rows: inputs[RETURNS].clear(), "1 records were held and 0 came back"),
        (_drop(2), "1 notifications with a delivery that has no end: n1"),
        (_change(2, address_hash="c"), "1 notifications with an end that no decision announced: n1"),
        (_change(2, step=Step.UNKNOWN), "1 notifications with a delivery that has two ends: n1"),
        (lambda inputs, statuses, rows: rows.pop(), "1 notifications without a row: n2"),
        (
            lambda inputs, statuses, rows: rows[0].update(row("n1", "SENT", 104)),
            "1 rows that differ from the statuses: n1",
        ),
        (
            lambda inputs, statuses, rows: rows[0].update(row("n1", "PENDING", 107)),
            "1 rows that differ from the statuses: n1",
        ),
        (lambda inputs, statuses, rows: rows.append(row("n3", "SENT", 107)), "1 rows without a status: n3"),
    ],
)
def test_what_is_missing_is_named(harm: Harm, named: str) -> None:
    inputs, statuses, rows = sound()
    harm(inputs, statuses, rows)
    assert named in reckon(inputs, statuses, rows).missing


def test_of_much_that_is_missing_the_first_five_are_named() -> None:
    inputs, statuses, rows = sound()
    inputs[HIGH] += [f"{HIGH}/1/{offset}" for offset in range(8)]
    [line] = reckon(inputs, statuses, rows).missing
    assert line.startswith(f"8 records of {HIGH} without a decision: {HIGH}/1/0, ")
    assert line.endswith(f"{HIGH}/1/4 and 3 more")
