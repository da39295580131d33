"""Virtual time for many processes at once: asyncio loops that one seeded scheduler runs, a step at a time.

A step is one callback of one loop, or one event of the world outside (a record lands, a call is answered). Which loop
goes next is drawn; the order within a loop is asyncio's own. What crosses from one thread to another takes a drawn
time, in order. A life ends between any two steps, and within one at any `point`: its fuse counts both.
"""

import heapq
import itertools
import random
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.loop import Loop

STEP_S = 0.00001
EPOCH_S = 1_800_000_000.0


class Killed(BaseException):
    """The process that was running is no more."""


class Handle:
    """A callback that can be cancelled."""

    __slots__ = ("_when", "args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], when: float = 0.0) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self._when = when

    def cancel(self) -> None:
        """Never call it."""
        self.callback, self.args = None, ()

    def never(self) -> None:
        """It will not be called: a coroutine that it was to begin must not complain."""
        for cell in getattr(self.callback, "__closure__", None) or ():
            if isinstance(cell.cell_contents, Coroutine):
                cell.cell_contents.close()
        self.cancel()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.callback is None

    def when(self) -> float:
        """The time of a timer."""
        return self._when


class Life:
    """One process from its start to its end: its loops, what waits while it stands still, and how it ends."""

    def __init__(self, clockwork: "Clockwork", name: str) -> None:
        self._clockwork = clockwork
        self.name = name
        self.alive = self.moves = True
        self.stood_still = False
        self.cut_at: float | None = None
        """Since when nothing comes from it to the brokers."""
        self.was_cut = False
        self.fuse = 0
        """Points until it is killed; 0 for never."""
        self.at_end: list[Callable[[], None]] = []
        self.loops: list[Loop] = []
        self.waiting: list[Callable[[], object]] = []

    def point(self) -> None:
        """A moment at which it may be killed in the middle of a callback. Raises Killed."""
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.end()
                raise Killed

    def stand_still(self) -> None:
        """As by SIGSTOP."""
        self.moves, self.stood_still = False, True
        self._clockwork.unlist(self)

    def cut_off(self) -> None:
        """It works on, and the brokers hear nothing of it."""
        self.cut_at, self.was_cut = self._clockwork.now, True

    def go_on(self) -> None:
        """As by SIGCONT: what came due meanwhile is due now."""
        if self.alive and not self.moves:
            self.moves = True
            waiting, self.waiting = self.waiting, []
            for callback in waiting:
                self._clockwork.at(0.0, callback, self)
            for loop in self.loops:
                self._clockwork.list(loop)

    def end(self) -> None:
        """As by SIGKILL, or when it has ended in order."""
        if not self.alive:
            return
        self.alive = self.moves = False
        self.fuse = 0
        self._clockwork.unlist(self)
        for callback in self.at_end:
            callback()
        for loop in self.loops:
            loop.abandon()


class Clockwork:
    """The time and everything that is due."""

    def __init__(self, draw: random.Random) -> None:
        self.now = 0.0
        self.draw = draw
        self.steps = 0
        self.life: Life | None = None
        """The process that is running now."""
        self.broken: list[str] = []
        """Callbacks that raised, which end a real process."""
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Handle, Loop | None, Life | None]] = []
        self._ready: list[Loop] = []

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.now

    def time(self) -> float:
        """UTC seconds."""
        return EPOCH_S + self.now

    def now_ms(self) -> int:
        """UTC milliseconds."""
        return int((EPOCH_S + self.now) * 1000)

    def at(self, after_s: float, callback: Callable[..., object], life: Life | None = None, *args: Any) -> None:
        """Call back after some seconds; if it belongs to a process, only while that lives, and not while it stands."""
        heapq.heappush(self._heap, (self.now + after_s, next(self._order), Handle(callback, args), None, life))

    def timer(self, loop: "Loop", when: float, handle: Handle) -> None:
        """Give `handle` to `loop` at `when`."""
        heapq.heappush(self._heap, (when, next(self._order), handle, loop, None))

    def list(self, loop: "Loop") -> None:
        """This loop has something to run."""
        if loop.queue and not loop.listed and loop.life.moves:
            loop.listed = True
            self._ready.append(loop)

    def unlist(self, life: Life) -> None:
        """None of its loops runs until it is listed again."""
        for loop in life.loops:
            loop.listed = False
        self._ready = [loop for loop in self._ready if loop.life is not life]

    def run(self, until: float) -> None:
        """Run everything that is due up to a moment."""
        while self.now < until:
            heap = self._heap
            if heap and heap[0][0] <= self.now:
                self._happen(*heapq.heappop(heap)[2:])
            elif self._ready:
                self._step()
            elif heap and heap[0][0] < until:
                self.now = heap[0][0]
            else:
                self.now = until

    def close(self) -> None:
        """Nothing more will happen."""
        for _, _, handle, _, _ in self._heap:
            handle.never()

    def pass_time(self, seconds: float) -> None:
        """Let the world go on while a thread of the running process blocks. Raises Killed if it does not outlive it."""
        life, loop = self.life, _get_running_loop()
        assert life is not None, "only a process blocks"
        _set_running_loop(None)
        until = self.now + seconds
        while life.alive and (self.now < until or not life.moves):
            self.run(max(until, self.now + 0.01))
        if not life.alive:
            raise Killed
        self.life = life
        _set_running_loop(loop)

    def _happen(self, handle: Handle, loop: "Loop | None", life: Life | None) -> None:
        if handle.callback is None:
            return
        if loop is not None:
            if loop.life.alive:
                loop.queue.append(handle)
                self.list(loop)
            else:
                handle.never()
        elif life is None or life.moves:
            self._call(handle, life, None)
        elif life.alive:
            callback, args = handle.callback, handle.args
            life.waiting.append(lambda: callback(*args))

    def _step(self) -> None:
        ready = self._ready
        place = int(self.draw.random() * len(ready))
        loop = ready[place]
        handle = loop.queue.popleft()
        if not loop.queue:
            loop.listed = False
            ready[place] = ready[-1]
            ready.pop()
        if handle.callback is not None:
            self.steps += 1
            self.now += STEP_S
            self._call(handle, loop.life, loop)

    def _call(self, handle: Handle, life: Life | None, loop: "Loop | None") -> None:
        before = self.life, _get_running_loop()
        self.life = life
        _set_running_loop(loop)
        try:
            if life is not None and life.fuse:
                life.point()
            assert handle.callback is not None
            handle.callback(*handle.args)
        except Killed:
            handle.never()
        except Exception as error:
            self.broken.append(f"a callback raised {type(error).__name__}: {error}")
        finally:
            self.life = before[0]
            _set_running_loop(before[1])
