"""record: statuses become one row each, gathered; preferences become the user's channels."""

from typing import Any, cast

import msgspec
import pytest

from agents.record import FOLD_FOR_MS, Write, WritePreference, record, record_preferences
from agents.stage import Outbox
from schemas.keys import at, user_key
from schemas.records import Status, encode
from schemas.vocabulary import Step
from tables.progress import unpack
from tests.agents.world import NOW, Record, World


def status(step: Step, id_: str = "n1", **fields: Any) -> bytes:
    told = {"tenant": "shop", "user_id": "anna", "at_ms": NOW, "position": "t/0/0", "accepted_ms": NOW}
    return encode(Status(notification_id=id_, step=step, **told | fields))


def run(world: World, *values: bytes | None) -> list[Write]:
    outbox, batch = Outbox(), [Record("statuses", 0, place, NOW, b"n1", value) for place, value in enumerate(values)]
    record(world.clock)(batch, world.tables, outbox)
    assert outbox.records == []
    return [write for work in outbox.calls for write in cast(Any, work) if isinstance(write, Write)]


def test_a_batch_writes_each_row_once_as_it_stands_at_its_end() -> None:
    (first, second) = run(
        World(), status(Step.ROUTED), status(Step.ROUTED, "n2"), status(Step.RETRYING), status(Step.SENT)
    )
    assert (first.row.notification_id, first.row.step, first.row.public) == ("n1", "sent", "SENT")
    assert (second.row.notification_id, second.row.public) == ("n2", "PENDING")


def test_a_duplicate_writes_nothing() -> None:
    world = World()
    assert len(run(world, status(Step.SENT))) == 1
    assert run(world, status(Step.DUPLICATE)) == []


@pytest.mark.parametrize("step", [Step.SENT, Step.ROUTED, Step.RETRYING])
def test_what_changes_no_row_has_it_written_again_since_a_killed_process_may_not_have(step: Step) -> None:
    world = World()
    (first,) = run(world, status(Step.SENT))
    (again,) = run(world, status(step))
    assert again == first


def test_a_decision_about_no_notification_and_a_tombstone_write_nothing() -> None:
    assert run(World(), status(Step.DEAD, ""), None) == []


def test_a_row_whose_fold_is_forgotten_is_written_under_a_condition() -> None:
    world = World()
    (late,) = run(world, status(Step.SENT, accepted_ms=NOW - FOLD_FOR_MS - 1))
    assert late.conditional
    (known,) = run(World(), status(Step.SENT, accepted_ms=NOW - FOLD_FOR_MS))
    assert not known.conditional
    (followed,) = run(world, status(Step.SENT, round=2, accepted_ms=NOW - FOLD_FOR_MS - 1))
    assert not followed.conditional, "its fold is here again"


def test_a_fold_is_that_of_the_statuses_of_its_partition() -> None:
    world, outbox = World(), Outbox()
    told = [(0, status(Step.SENT)), (1, status(Step.ROUTED)), (1, status(Step.RETRYING)), (0, status(Step.ROUTED))]
    batch = [Record("statuses", partition, offset, NOW, b"n1", value) for offset, (partition, value) in enumerate(told)]
    record(world.clock)(batch, world.tables, outbox)
    found = {key: unpack(entry).step for key, entry in world.tables["progress"].items()}
    assert found == {at(0, b"n1"): "sent", at(1, b"n1"): "retrying"}
    [work] = cast(Any, outbox.calls)
    assert [write.row.step for write in work] == ["sent", "retrying"]


def test_of_a_user_s_preferences_in_a_batch_the_latest_is_written_and_the_unreadable_left_out() -> None:
    def told(user: str, version: int, key: bytes | None = None) -> tuple[bytes, bytes]:
        body = {"tenant": "shop", "user_id": user, "version": version}
        return key or user_key("shop", user), msgspec.json.encode(body)

    anna = user_key("shop", "anna")
    pairs = [told("anna", 1), (anna, b"{"), (anna, None), told("bert", 1), told("anna", 2), told("anna", 1, b"anna")]
    outbox = Outbox()
    record_preferences([Record("preferences", 0, n, NOW, *pair) for n, pair in enumerate(pairs)], {}, outbox)
    [work] = cast(Any, outbox.calls)
    calls = [write.preference for write in work if isinstance(write, WritePreference)]
    assert [(told.user_id, told.version) for told in calls] == [("anna", 2), ("bert", 1)]
