"""Calls to the outside: started only once they are announced durably, bounded, and settled in groups.

A call that is cut off is abandoned, never forgotten: its result says that nobody knows, and is settled like any other.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from agents.stage import Tables
from flows.engine.flow import Outside, Waits
from flows.engine.kafka.queued import Then
from flows.engine.partition import Spans
from flows.engine.stop import die

_LOOK_S = 0.05
CUT_OFF_S = 10.0
"""How long a call that is cut off may take to end."""

Settled = Callable[[list[object], Then, Then], None]
"""Writes results: the first is to be called when what others wait for is durable, the second when everything is."""


class _Announced:
    """The calls of one run; its spans are done when it and the last of them are wholly written."""

    __slots__ = ("durable", "left", "part", "places", "spans", "works")

    def __init__(self, spans: Spans, works: list[object]) -> None:
        self.spans = spans
        self.part = spans[0][0]
        """One for all: they are given up together."""
        self.places = {(part.topic, part.number) for part, _ in spans}
        self.works = works
        self.left = len(works) + 1
        self.durable = False


class Calls:
    """The calls of one flow."""

    def __init__(
        self,
        outside: Outside,
        waits: Waits,
        replicated: Tables,
        settled: Settled,
        done: Callable[[Spans], None],
        may_act: Callable[[], bool],
        raised: Callable[[BaseException], None],
    ) -> None:
        self._outside = outside
        self._raised = raised
        self._replicated = replicated
        self._settle_s = waits.settle_s
        self._settled = settled
        self._done = done
        self._may_act, self._door = may_act, asyncio.Lock()
        self._under_way: dict[asyncio.Task[object], tuple[_Announced, object]] = {}
        self._begun: set[asyncio.Task[object]] = set()
        """Those under way whose work has begun: what is cut off before that is known not to have been done."""
        self._reserved = 0
        self._waiting: list[_Announced] = []
        """What is announced and not begun, in its order."""
        self._results: list[tuple[_Announced, object]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._freed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._under_way)

    @property
    def settling(self) -> bool:
        """Whether there are results that are not yet written."""
        return self._timer is not None

    async def room(self) -> int:
        """Wait until calls may be announced, and say how many. What is announced counts until it is settled."""
        while (free := self._outside.window - self._reserved) <= 0:
            self._freed.clear()
            await self._freed.wait()
        return free

    def announce(self, spans: Spans, works: list[object]) -> tuple[Then, Then]:
        """Count calls from their announcement on: a kill leaves no more than the window unknown.

        The first that is returned is to be called once the announcement is durable, the second once all that was
        written with it is. Whatever the order of acknowledgements, the calls of a partition begin in the order of its
        records: the last row of a notification is written last.
        """
        announced = _Announced(spans, works)
        self._waiting.append(announced)
        self._reserved += len(works)
        return partial(self._announced, announced), partial(self._written, [announced])

    def _announced(self, announced: _Announced) -> None:
        announced.durable = True
        waiting, self._waiting = self._waiting, []
        held: set[tuple[str, int]] = set()
        for one in waiting:
            if one.durable and held.isdisjoint(one.places):
                self._start(one)
            else:
                held |= one.places
                self._waiting.append(one)

    def _start(self, announced: _Announced) -> None:
        loop = asyncio.get_running_loop()
        for work in announced.works:
            if announced.part.closing:
                self._cut_off(announced, work, started=False)
                continue
            task: asyncio.Task[object] = loop.create_task(self._perform(work))
            self._under_way[task] = (announced, work)
            task.add_done_callback(self._ended)

    async def _perform(self, work: object) -> object:
        async with self._door:  # in their order
            while not self._may_act():
                await asyncio.sleep(_LOOK_S)
        task = asyncio.current_task()
        assert task is not None, "calls are tasks"
        self._begun.add(task)
        return await self._outside.perform(work, self._replicated)

    def _ended(self, task: "asyncio.Task[object]") -> None:
        announced, work = self._under_way.pop(task)
        begun = task in self._begun
        self._begun.discard(task)
        if task.cancelled():
            self._cut_off(announced, work, started=begun)
        elif (error := task.exception()) is not None:
            self._broken(announced, work, error)
        else:
            self._finished(announced, task.result())

    def _broken(self, announced: _Announced, work: object, error: BaseException) -> None:
        """A call that raised, by a bug of ours: nobody knows how far it came, as with one that was cut off."""
        result = self._outside.abandon(work, True)
        if result is None:
            die("a call outside raised: it must return a result for whatever happens", error)
        self._raised(error)
        self._finished(announced, result)

    def _cut_off(self, announced: _Announced, work: object, *, started: bool) -> None:
        result = self._outside.abandon(work, started)
        if result is None:
            self._free(1)
        else:
            self._finished(announced, result)

    def _finished(self, announced: _Announced, result: object) -> None:
        self._results.append((announced, result))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._settle_s, self._settle)

    def _settle(self) -> None:
        self._timer = None
        found, self._results = self._results, []
        kept = [(announced, result) for announced, result in found if not announced.part.lost]
        self._free(len(found) - len(kept))
        if kept:
            results, pieces = [result for _, result in kept], [announced for announced, _ in kept]
            self._settled(results, partial(self._free, len(kept)), partial(self._written, pieces))

    def _written(self, pieces: list[_Announced]) -> None:
        for announced in pieces:
            announced.left -= 1
            if not announced.left:
                self._done(announced.spans)

    def _free(self, count: int) -> None:
        self._reserved -= count
        self._freed.set()

    async def drain(self, deadline: float) -> None:
        """Wait for the calls under way until `deadline` (monotonic seconds), then cut the rest off.

        Their partitions are closing, so none begins meanwhile.
        """
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=max(0.0, deadline - time.monotonic()))
        cut = set(self._under_way)
        for task in cut:
            task.cancel()
        if cut and (await asyncio.wait(cut, timeout=CUT_OFF_S))[1]:
            die("calls outside that were cut off do not end")
        if self._timer is not None:
            self._timer.cancel()
        self._settle()
