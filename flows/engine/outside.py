"""Calls to the outside: started only once they are announced durably, bounded, and settled in groups.

A call that is cut off is abandoned, never forgotten: its result says that nobody knows, and is settled like any other.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from agents.stage import Tables
from flows.engine.flow import Outside, Waits
from flows.engine.frontier import Span
from flows.engine.partition import Partition
from flows.engine.queued import Then
from flows.engine.stop import die

_LOOK_S = 0.05
CUT_OFF_S = 10.0
"""How long a call that is cut off may take to end."""

Settled = Callable[[Partition, list[object], Then, Then], None]
"""Writes results: the first is to be called when what others wait for is durable, the second when everything is."""


class _Announced:
    """The calls of one piece of a batch; its span is done when it and the last of them are wholly written."""

    __slots__ = ("durable", "left", "part", "span", "works")

    def __init__(self, part: Partition, span: Span, works: list[object]) -> None:
        self.part = part
        self.span = span
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
        done: Callable[[Partition, Span], None],
        may_act: Callable[[], bool],
    ) -> None:
        self._outside = outside
        self._replicated = replicated
        self._settle_s = waits.settle_s
        self._settled = settled
        self._done = done
        self._may_act, self._door = may_act, asyncio.Lock()
        self._under_way: dict[asyncio.Task[object], tuple[_Announced, object]] = {}
        self._reserved = 0
        self._results: dict[int, list[tuple[_Announced, object]]] = {}
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

    def announce(self, part: Partition, span: Span, works: list[object]) -> tuple[Then, Then]:
        """Count calls from their announcement on: a kill leaves no more than the window unknown.

        The first that is returned is to be called once the announcement is durable, the second once all that was
        written with it is. Whatever the order of acknowledgements, the calls of a partition begin in the order of its
        records: the last row of a notification is written last.
        """
        announced = _Announced(part, span, works)
        part.announced.append(announced)
        self._reserved += len(works)
        return partial(self._announced, announced), partial(self._written, [announced])

    def _announced(self, announced: _Announced) -> None:
        announced.durable = True
        waiting = announced.part.announced
        while waiting and waiting[0].durable:
            self._start(waiting.popleft())

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
        return await self._outside.perform(work, self._replicated)

    def _ended(self, task: "asyncio.Task[object]") -> None:
        announced, work = self._under_way.pop(task)
        if task.cancelled():
            self._cut_off(announced, work, started=True)
        elif (error := task.exception()) is not None:
            die("a call outside raised: it must return a result for whatever happens", error)
        else:
            self._finished(announced, task.result())

    def _cut_off(self, announced: _Announced, work: object, *, started: bool) -> None:
        result = self._outside.abandon(work, started)
        if result is None:
            self._free(1)
        else:
            self._finished(announced, result)

    def _finished(self, announced: _Announced, result: object) -> None:
        self._results.setdefault(id(announced.part), []).append((announced, result))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._settle_s, self._settle)

    def _settle(self) -> None:
        self._timer = None
        groups, self._results = self._results, {}
        for group in groups.values():
            part = group[0][0].part
            if part.lost:
                self._free(len(group))
                continue
            results, pieces = [result for _, result in group], [announced for announced, _ in group]
            self._settled(part, results, partial(self._free, len(group)), partial(self._written, pieces))

    def _written(self, pieces: list[_Announced]) -> None:
        for announced in pieces:
            announced.left -= 1
            if not announced.left:
                self._done(announced.part, announced.span)

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
