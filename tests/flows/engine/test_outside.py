"""Calls outside, on a loop, with settling and durability played by the test."""

import asyncio
import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from agents.stage import Tables
from flows.engine.flow import Outside, Waits
from flows.engine.frontier import Span
from flows.engine.kafka.queued import Then
from flows.engine.outside import Calls
from flows.engine.partition import Partition, Spans
from tests import watching

OTHER = Partition("t", 1, 0)
WAITS = Waits(fetch_max_wait_ms=1, linger_ms=1, settle_s=0.005, drain_s=0.2)


class Stand:
    """Calls of a flow; a piece of work is a number of seconds, "never" or "raise"."""

    def __init__(self, window: int = 4) -> None:
        self.settled: list[list[object]] = []
        self.undurable: list[Then] = []
        self.unwritten: list[Then] = []
        self.durable_at_once = True
        self.begun: list[object] = []
        self.heard = True
        self.raised: list[BaseException] = []
        outside = Outside(window, self._perform, lambda work, started: (work, "cut" if started else "not begun"), None)  # type: ignore[arg-type]
        self.calls = Calls(outside, WAITS, {}, self._settle, self._done, lambda: self.heard, self.raised.append)
        self.done: list[Span] = []
        self.part = Partition("t", 0, 0)

    async def _perform(self, work: object, tables: Tables) -> object:
        self.begun.append(work)
        if work == "never":
            await asyncio.Event().wait()
        if work == "raise":
            raise ValueError("a secret that no log may show")
        assert isinstance(work, float)
        await asyncio.sleep(work)
        return work, "ended"

    def _settle(self, results: list[object], durable: Then, whole: Then) -> None:
        self.settled.append(results)
        if self.durable_at_once:
            durable()
            whole()
        else:
            self.undurable.append(durable)
            self.unwritten.append(whole)

    def _done(self, spans: Spans) -> None:
        self.done += [span for _, span in spans]

    def begin(self, *works: Any, parts: Sequence[Partition] = ()) -> tuple[Span, Then, Then]:
        """Announce calls of a run over some partitions: the span of the first, and what tells that it is durable."""
        spans = [(part, part.frontier.begin(1, 0.0)) for part in parts or (self.part,)]
        return spans[0][1], *self.calls.announce(spans, list(works))

    def announce(self, *works: Any, parts: Sequence[Partition] = ()) -> Span:
        span, durable, written = self.begin(*works, parts=parts)
        durable()
        written()
        return span

    @property
    def results(self) -> list[object]:
        return [result for group in self.settled for result in group]


until = partial(watching.until, seconds=5.0)


async def test_while_the_group_does_not_answer_no_call_begins_and_then_all_in_their_order() -> None:
    stand = Stand()
    stand.heard = False
    stand.announce(0.01, 0.02)
    await asyncio.sleep(0.12)
    assert stand.begun == []
    stand.heard = True
    stand.announce(0.0, 0.03)
    await until(lambda: len(stand.results) == 4)
    assert stand.begun == [0.01, 0.02, 0.0, 0.03]


async def test_what_is_cut_off_before_it_has_begun_is_known_not_to_be_done() -> None:
    stand = Stand()
    stand.announce("never")
    await until(lambda: stand.begun)
    stand.heard = False
    stand.announce(0.0, 0.1)
    await asyncio.sleep(0.01)
    await stand.calls.drain(time.monotonic())
    assert set(stand.results) == {("never", "cut"), (0.0, "not begun"), (0.1, "not begun")}


async def test_a_span_is_done_when_the_last_of_its_calls_is_settled_durably() -> None:
    stand = Stand()
    stand.durable_at_once = False
    span = stand.announce(0.0, 0.03)
    await until(lambda: len(stand.results) == 2)
    assert stand.done == []
    while stand.undurable:
        stand.undurable.pop()()
    assert (stand.done, await stand.calls.room()) == ([], 4), "what lingers holds back the commit alone"
    while stand.unwritten:
        stand.unwritten.pop()()
    assert stand.done == [span]


async def test_results_that_come_together_are_settled_together() -> None:
    stand = Stand()
    stand.announce(0.0, 0.0, 0.0)
    await until(lambda: stand.settled)
    assert len(stand.settled) == 1


async def test_results_of_several_runs_are_settled_together() -> None:
    stand = Stand()
    spans = [stand.announce(0.0), stand.announce(0.0, parts=[OTHER])]
    await until(lambda: len(stand.results) == 2)
    assert len(stand.settled) == 1
    assert stand.done == spans


async def test_a_run_over_several_partitions_is_done_in_all_of_them_with_its_last_call() -> None:
    stand = Stand()
    stand.announce(0.0, 0.03, parts=[stand.part, OTHER])
    await until(lambda: len(stand.results) == 1)
    assert stand.done == []
    await until(lambda: len(stand.done) == 2)


async def test_the_window_counts_a_call_from_its_announcement_until_it_is_settled_durably() -> None:
    stand = Stand(window=2)
    stand.durable_at_once = False
    assert await stand.calls.room() == 2
    stand.announce(0.0, 0.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stand.calls.room(), 0.05)
    assert stand.calls.in_flight == 0
    assert len(stand.results) == 2
    for then in stand.undurable:
        then()
    assert await asyncio.wait_for(stand.calls.room(), 1) == 2


async def test_announced_calls_that_have_not_begun_take_room() -> None:
    stand = Stand(window=3)
    stand.begin(0.0, 0.0)
    assert await stand.calls.room() == 1


async def test_a_drain_waits_for_what_ends_in_time_and_cuts_off_the_rest() -> None:
    stand = Stand()
    stand.announce(0.02, "never")
    began = time.monotonic()
    stand.part.closing = True
    await stand.calls.drain(time.monotonic() + 0.15)
    assert 0.14 < time.monotonic() - began < 1.0
    assert sorted(stand.results, key=str) == [("never", "cut"), (0.02, "ended")]
    assert stand.calls.in_flight == 0


async def test_work_that_is_given_up_without_a_result_stays_undone_and_takes_no_room() -> None:
    stand = Stand(window=2)
    stand.calls._outside = dataclasses.replace(stand.calls._outside, abandon=lambda work, started: None)
    cut = stand.announce("never")
    stand.part.closing = True
    await stand.calls.drain(time.monotonic() + 0.05)
    never_begun = stand.announce(0.0)
    await asyncio.sleep(0.02)
    assert (stand.done, stand.results) == ([], [])
    assert await stand.calls.room() == 2
    assert cut is not never_begun
    assert stand.part.frontier.position == 0, "what is open is not committed"


async def test_a_drain_with_nothing_under_way_takes_no_time() -> None:
    stand = Stand()
    began = time.monotonic()
    await stand.calls.drain(time.monotonic() + 5)
    assert time.monotonic() - began < 0.5


async def test_no_call_of_a_closing_partition_begins_not_even_after_the_drain() -> None:
    stand = Stand()
    stand.part.closing = True
    await stand.calls.drain(time.monotonic() + 0.01)
    span = stand.announce(0.0, 0.0)
    await until(lambda: len(stand.results) == 2)
    assert stand.begun == []
    assert {result[1] for result in stand.results} == {"not begun"}  # type: ignore[index]
    assert stand.done == [span]


async def test_results_of_a_lost_partition_are_dropped_and_free_their_room() -> None:
    stand = Stand(window=1)
    stand.announce(0.02)
    stand.part.closing = stand.part.lost = True
    assert await asyncio.wait_for(stand.calls.room(), 1) == 1
    assert (stand.settled, stand.done) == ([], [])


async def test_calls_of_a_partition_begin_in_the_order_of_its_records_whichever_is_durable_first() -> None:
    stand = Stand(window=8)
    first, first_durable, first_written = stand.begin(0.01, 0.02)
    stand.announce(0.03, parts=[OTHER, stand.part])
    stand.announce(0.035, parts=[OTHER])
    stand.announce(0.04, parts=[Partition("t", 2, 0)])
    await until(lambda: stand.begun)
    assert stand.begun == [0.04], "a partition that has no part in it does not wait"
    first_durable()
    await until(lambda: len(stand.done) == 4)
    assert first not in stand.done
    first_written()
    await until(lambda: first in stand.done)
    assert stand.begun == [0.04, 0.01, 0.02, 0.03, 0.035]


def test_a_call_that_is_cut_off_and_does_not_end_ends_the_process() -> None:
    program = """
import asyncio, time
import flows.engine.outside
from flows.engine.flow import Outside, Waits
from flows.engine.outside import Calls
from flows.engine.partition import Partition

async def perform(work, tables):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main():
    flows.engine.outside.CUT_OFF_S = 0.1
    calls = Calls(Outside(1, perform, None, None), Waits(1, 1, 0.01, 1.0), {}, None, None, lambda: True, None)
    part = Partition("t", 0, 0)
    calls.announce([(part, part.frontier.begin(1, 0.0))], [object()])[0]()
    await asyncio.sleep(0.01)
    await calls.drain(time.monotonic())

asyncio.run(asyncio.wait_for(main(), 10))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70


async def test_a_call_that_raises_counts_as_cut_off_and_the_others_go_on() -> None:
    stand = Stand()
    span = stand.announce("raise", 0.01)
    await watching.until(lambda: stand.done)
    assert sorted(stand.results, key=str) == [("raise", "cut"), (0.01, "ended")]
    assert ([type(error) for error in stand.raised], stand.done) == ([ValueError], [span])


def test_a_call_that_raises_where_nothing_may_be_said_of_it_ends_the_process() -> None:
    program = """
import asyncio
from flows.engine.flow import Outside, Waits
from flows.engine.outside import Calls
from flows.engine.partition import Partition

async def perform(work, tables):
    raise ValueError("a secret that no log may show")

async def main():
    outside = Outside(1, perform, lambda work, started: None, None)
    calls = Calls(outside, Waits(1, 1, 0.01, 1.0), {}, None, None, lambda: True, None)
    part = Partition("t", 0, 0)
    calls.announce([(part, part.frontier.begin(1, 0.0))], [object()])[0]()
    await asyncio.sleep(5)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70
    assert "secret" not in done.stderr
