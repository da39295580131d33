"""Rows written to a real table, and what becomes of them while the table is away."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from agents.record import SetAside, Write, WritePreference
from flows.clients import Answer, Rows
from flows.row_items import preference_items, row_item
from flows.settings import Settings
from flows.writer import Writer
from schemas.records import Address, OptOut, Preference
from schemas.vocabulary import RANK, Step
from tables.progress import Row
from tests.watching import until

CREATED_MS = 1_800_000_000_000


def row(id_: str, step: Step = Step.ROUTED, round_: int = 1) -> Row:
    return Row(id_, "shop", "u1", CREATED_MS, round_, RANK[step], step.value, "", 0, CREATED_MS + 5)


class Counting(Rows):
    """The real store, with a count of its requests; it is away while `away`, and slow until it `answers`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.requests: list[int] = []
        self.begun: list[float] = []
        self.away = False
        self.answers = threading.Event()
        self.answers.set()

    def _put(self, table: str, items: Any) -> Answer:
        self.requests.append(len(items))
        self.begun.append(time.monotonic())
        assert self.answers.wait(10)
        return Answer(range(len(items))) if self.away else super()._put(table, items)


@pytest.fixture
def rows(settings: Settings) -> Counting:
    """Empty tables."""
    made = Counting(settings)
    made.make_tables()
    return made


@pytest.fixture
async def writer(rows: Counting, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Writer]:
    """A writer that gathers for a fifth of a second instead of a whole one, and lets no pending row wait for longer."""
    monkeypatch.setattr("flows.writer.GATHER_S", 0.2)
    monkeypatch.setattr("flows.writer.PENDING_S", 0.0)
    writer = Writer(rows, rows.logs)
    await writer.start(lambda: None)
    yield writer
    await writer.stop()


def perform(writer: Writer, *works: Write | WritePreference) -> list["asyncio.Task[SetAside]"]:
    return [asyncio.get_running_loop().create_task(writer.perform([work], {})) for work in works]


def stored(rows: Rows, id_: str) -> str | None:
    found = rows.get(id_)
    return found["step"]["S"] if found else None


async def test_a_row_is_written_once_for_all_that_came_while_it_was_gathered_and_the_last_one_wins(
    rows: Counting, writer: Writer
) -> None:
    steps = (Step.ROUTED, Step.RETRYING, Step.SENT)
    await asyncio.gather(*perform(writer, *(Write(row("a", step), False) for step in steps)))
    assert stored(rows, "a") == "sent"
    assert rows.requests == [1]


async def test_a_pending_row_waits_for_its_end_and_is_written_without_one_after_a_while(
    rows: Counting, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.writer.PENDING_S", 1.0)
    first, stays = perform(writer, Write(row("a"), False), Write(row("b"), False))
    await asyncio.sleep(0.5)
    await asyncio.wait_for(asyncio.gather(first, *perform(writer, Write(row("a", Step.SENT), False))), 0.45)
    assert (stored(rows, "a"), stored(rows, "b"), rows.requests) == ("sent", None, [1])
    await asyncio.wait_for(stays, 10)
    assert (stored(rows, "b"), rows.requests) == ("routed", [1, 1])


async def test_what_comes_for_a_row_while_the_store_is_away_is_written_in_its_place(
    rows: Counting, writer: Writer
) -> None:
    rows.away = True
    first = perform(writer, Write(row("a"), False))
    await until(lambda: rows.requests)
    later = perform(writer, Write(row("a", Step.SENT), False))
    await asyncio.sleep(0)
    rows.away = False
    await asyncio.wait_for(asyncio.gather(*first, *later), 10)
    assert stored(rows, "a") == "sent"
    assert rows.requests[1:] == [1], "the one that was not taken is not written any more"


async def test_a_row_that_comes_under_a_condition_is_not_written_with_others(rows: Counting, writer: Writer) -> None:
    await asyncio.gather(*perform(writer, Write(row("a", Step.SENT), False)))
    rows.away = True
    first = perform(writer, Write(row("a", Step.ROUTED), False), Write(row("b"), False))
    await until(lambda: len(rows.requests) > 1)
    forgotten = perform(writer, Write(row("a", Step.RETRYING), True))
    await asyncio.sleep(0)
    rows.away = False
    await asyncio.wait_for(asyncio.gather(*first, *forgotten), 10)
    assert (stored(rows, "a"), stored(rows, "b")) == ("sent", "routed")


async def test_rows_go_25_a_request(rows: Counting, writer: Writer) -> None:
    await asyncio.gather(*perform(writer, *(Write(row(f"n{number}"), False) for number in range(60))))
    assert sorted(rows.requests) == [10, 25, 25]
    assert len(rows.scan(rows.logs)) == 60


async def test_requests_are_spread_over_the_time_in_which_the_next_rows_gather(rows: Counting, writer: Writer) -> None:
    await asyncio.gather(*perform(writer, *(Write(row(f"n{number}"), False) for number in range(100))))
    assert len(rows.begun) == 4
    assert rows.begun[-1] - rows.begun[0] >= 3 * 0.2 / 4 - 0.01


async def test_work_is_done_only_when_the_store_has_taken_it(rows: Counting, writer: Writer) -> None:
    rows.away = True
    tasks = perform(writer, Write(row("a"), False), Write(row("b"), False))
    await until(lambda: len(rows.requests) >= 2)
    assert not any(task.done() for task in tasks)
    assert stored(rows, "a") is None
    rows.away = False
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert (stored(rows, "a"), stored(rows, "b")) == ("routed", "routed")


async def test_rows_of_a_partition_that_was_given_up_are_not_written(rows: Counting, writer: Writer) -> None:
    cut, forgotten, kept = perform(
        writer, Write(row("cut"), False), Write(row("forgotten"), True), Write(row("kept"), False)
    )
    await asyncio.sleep(0)
    cut.cancel()
    forgotten.cancel()
    await asyncio.wait_for(kept, 10)
    assert [stored(rows, id_) for id_ in ("cut", "forgotten", "kept")] == [None, None, "routed"]


async def test_rows_given_up_while_the_store_is_away_are_not_written_when_it_is_back(
    rows: Counting, writer: Writer
) -> None:
    rows.away = True
    cut, kept = perform(writer, Write(row("cut"), False), Write(row("kept"), False))
    await until(lambda: rows.requests)
    cut.cancel()
    rows.away = False
    await asyncio.wait_for(kept, 10)
    assert (stored(rows, "cut"), stored(rows, "kept")) == (None, "routed")


async def test_work_that_is_given_up_ends_with_the_request_it_is_in(rows: Counting, writer: Writer) -> None:
    rows.answers.clear()
    (cut,) = perform(writer, Write(row("cut"), False))
    await until(lambda: rows.requests)
    cut.cancel()
    await asyncio.sleep(0.1)
    assert not cut.done(), "what lands now would land over the next owner's row"
    rows.answers.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(cut, 10)
    assert stored(rows, "cut") == "routed"


async def test_whether_the_process_stood_still_is_asked_before_each_request(rows: Counting) -> None:
    asked: list[None] = []
    writer = Writer(rows, rows.logs)
    await writer.start(lambda: asked.append(None))
    await asyncio.gather(*perform(writer, *(Write(row(f"n{number}"), False) for number in range(60))))
    await writer.stop()
    assert len(asked) == len(rows.requests) == 3


async def test_a_row_that_two_asked_for_is_written_while_one_still_waits(rows: Counting, writer: Writer) -> None:
    cut, kept = perform(writer, Write(row("a", Step.ROUTED), False), Write(row("a", Step.SENT), False))
    await asyncio.sleep(0)
    cut.cancel()
    await asyncio.wait_for(kept, 10)
    assert stored(rows, "a") == "sent"


async def test_a_row_whose_fold_was_forgotten_goes_over_a_lower_rank_only(rows: Counting, writer: Writer) -> None:
    await asyncio.gather(*perform(writer, Write(row("a", Step.RETRYING), False)))
    await asyncio.gather(*perform(writer, Write(row("a", Step.ROUTED), True), Write(row("new", Step.ROUTED), True)))
    assert (stored(rows, "a"), stored(rows, "new")) == ("retrying", "routed")
    await asyncio.gather(*perform(writer, Write(row("a", Step.SENT), True)))
    assert stored(rows, "a") == "sent"


async def test_a_later_round_goes_over_every_rank_of_an_earlier_one(rows: Counting, writer: Writer) -> None:
    await asyncio.gather(*perform(writer, Write(row("a", Step.SENT), False)))
    await asyncio.gather(*perform(writer, Write(row("a", Step.ROUTED, round_=2), True)))
    assert stored(rows, "a") == "routed"


async def test_preferences_become_one_row_a_channel(rows: Counting) -> None:
    writer = Writer(rows, rows.preferences)
    await writer.start(lambda: None)
    preference = Preference(
        tenant="shop",
        user_id="u1",
        version=3,
        addresses=[
            Address(channel="sms", address="+1"),
            Address(channel="email", address="a@example.com"),
            Address(channel="push", address="device", verified=False),
        ],
        opt_outs=[OptOut(channel="email", category="*"), OptOut(channel="sms", category="news")],
    )
    await asyncio.gather(*perform(writer, WritePreference(preference)))
    await writer.stop()
    found = {item["channel_type"]["S"]: item for item in rows.scan(rows.preferences)}
    assert {channel: item["is_enabled"]["BOOL"] for channel, item in found.items()} == {
        "sms": True,
        "email": False,
        "push": False,
    }
    assert found["sms"]["user_id"] == {"S": "shop/u1"}
    assert found["sms"]["version"] == {"N": "3"}


async def test_a_row_that_the_store_refuses_for_good_is_set_aside_alone_and_the_others_are_written(
    rows: Counting, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["x" * 2049, *(f"n{number}" for number in range(30)), ""]
    done = await asyncio.wait_for(asyncio.gather(*perform(writer, *(Write(row(name), False) for name in names))), 20)
    assert [result.rows for result in done] == [1, *[0] * 30, 1]
    assert {item["notification_id"]["S"] for item in rows.scan(rows.logs)} == set(names[1:-1])
    told = [line.__dict__ for line in caplog.records if line.msg == "row_set_aside"]
    assert {(line["code"], len(line["row"])) for line in told} == {("ValidationException", size) for size in (64, 0)}
    forgotten = await asyncio.wait_for(asyncio.gather(*perform(writer, Write(row("y" * 2049), True))), 20)
    assert forgotten == [SetAside(rows.logs, 1)], "under a condition, too"


async def test_while_the_store_takes_no_row_of_a_table_none_is_set_aside_and_those_that_come_are_written(
    rows: Counting, writer: Writer
) -> None:
    (alone,) = perform(writer, Write(row("x" * 2049), False))
    await until(lambda: len(rows.requests) > 2)
    assert not alone.done(), "the table itself may be at fault"
    assert writer.silent_s() > 0
    (good,) = perform(writer, Write(row("good"), False))
    assert await asyncio.wait_for(good, 10) == SetAside(rows.logs, 0)
    assert (await asyncio.wait_for(alone, 10)).rows == 1
    assert (stored(rows, "good"), writer.silent_s()) == ("routed", 0.0)


async def test_rows_that_the_store_does_not_take_hold_up_no_others(rows: Counting, writer: Writer) -> None:
    throttled = rows._put

    def choosy(table: str, items: Any) -> Answer:
        if any(item["notification_id"]["S"] == "hot" for item in items):
            return Answer(range(len(items)))
        return throttled(table, items)

    rows._put = choosy  # type: ignore[method-assign]
    (hot,) = perform(writer, Write(row("hot"), False))
    await until(lambda: writer.silent_s() > 0)
    await asyncio.wait_for(asyncio.gather(*perform(writer, Write(row("cold"), False))), 10)
    assert (stored(rows, "cold"), hot.done()) == ("routed", False)
    hot.cancel()


async def test_a_store_that_owes_nothing_any_more_is_not_silent(rows: Counting, writer: Writer) -> None:
    rows.away = True
    (given_up,) = perform(writer, Write(row("a"), False))
    await until(lambda: len(rows.requests) > 1)
    assert writer.silent_s() > 0.1, "since the first request, not since its end"
    given_up.cancel()
    await until(lambda: not writer._unwritten)
    assert writer.silent_s() == 0.0


def test_a_time_that_no_calendar_has_does_not_stop_a_row() -> None:
    beyond = msgspec.structs.replace(row("a"), created_ms=2**62)
    assert row_item(beyond)["created_at"] == {"S": "1970-01-01T00:00:00.000+00:00"}


def test_two_users_never_share_a_row_of_preferences() -> None:
    def keys(tenant: str, user_id: str) -> set[str]:
        items = preference_items(WritePreference(Preference(tenant=tenant, user_id=user_id, version=1)))
        return {item["user_id"]["S"] for item in items}

    assert keys("acme", "ada/1") == {"acme/ada/1"}, "ordinary ids read as before"
    assert keys("a", "b/c").isdisjoint(keys("a/b", "c"))
    assert keys("a%2Fb", "c").isdisjoint(keys("a/b", "c"))


def test_no_address_is_in_a_row_of_preferences() -> None:
    preference = Preference(
        tenant="shop", user_id="u1", version=1, addresses=[Address(channel="sms", address="+491701234567")]
    )
    assert "491701234567" not in str(preference_items(WritePreference(preference)))


def test_a_row_carries_its_public_status_its_rank_and_its_end_of_life() -> None:
    item = row_item(row("a", Step.SENT, round_=2))
    assert (item["status"], item["step"]) == ({"S": "SENT"}, {"S": "sent"})
    assert item["rank"] == {"N": str(200 + RANK[Step.SENT])}
    assert item["created_at"] == {"S": "2027-01-15T08:00:00.000+00:00"}
    assert item["expires_at"] == {"N": str(CREATED_MS // 1000 + 30 * 24 * 3600)}
    assert "provider" not in item


def test_a_writer_that_ends_by_an_error_ends_the_process() -> None:
    program = """
import asyncio
import flows.writer
from flows.settings import Settings
from agents.record import Write
from tables.progress import Row

class Broken:
    logs, preferences = "logs", "preferences"
    async def put(self, table, items):
        raise RuntimeError("a secret that no log may show")

async def main():
    flows.writer.GATHER_S = 0.05
    writer = flows.writer.Writer(Broken(), "logs")
    await writer.start(lambda: None)
    await writer.perform([Write(Row("a", "t", "u", 1, 1, 1, "routed", "", 0, 1), False)], {})

asyncio.run(asyncio.wait_for(main(), 10))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70, done.stderr
    assert "secret" not in done.stderr
