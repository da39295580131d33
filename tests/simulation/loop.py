"""One thread's event loop in virtual time: as much of asyncio's as the engine and Faust's thread use."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.clockwork import Clockwork, Handle, Life

_Whole: Any = asyncio.AbstractEventLoop


class Loop(_Whole):  # type: ignore[misc]
    """A loop of one process; the clockwork runs its callbacks."""

    def __init__(self, clockwork: Clockwork, life: Life) -> None:
        self._clockwork, self.life = clockwork, life
        self.queue: deque[Handle] = deque()
        self.listed = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._crossed_at = 0.0
        life.loops.append(self)

    def time(self) -> float:
        return self._clockwork.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Handle:
        handle = Handle(callback, args)
        if self.life.alive:
            self.queue.append(handle)
            if not self.listed:
                self._clockwork.list(self)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Handle:
        return self.call_at(self._clockwork.now + delay, callback, *args)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Handle:
        handle = Handle(callback, args, when)
        if self.life.alive:
            self._clockwork.timer(self, when, handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Handle:
        handle, draw = Handle(callback, args), self._clockwork.draw.random()
        crossing_s = 0.0003 * draw if draw < 0.8 else 0.003 * draw if draw < 0.96 else 0.06 * draw
        self._crossed_at = max(self._crossed_at, self._clockwork.now + crossing_s)
        if self.life.alive:
            self._clockwork.timer(self, self._crossed_at, handle)
        else:
            handle.never()
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name)
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> "asyncio.Future[Any]":
        future, draw = self.create_future(), self._clockwork.draw

        def work() -> None:
            try:
                told: tuple[Callable[..., None], object] = (future.set_result, func(*args))
            except Exception as error:
                told = (future.set_exception, error)
            self.call_soon_threadsafe(lambda: None if future.done() else told[0](told[1]))

        self._clockwork.at(draw.random() * (0.001 if draw.random() < 0.8 else 0.1), work, self.life)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Errors of tasks that nobody awaits: the process tells them and goes on."""

    def abandon(self) -> None:
        """Its process has ended: nothing of it runs any more, and nothing complains."""
        for handle in self.queue:
            handle.never()
        self.queue.clear()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine = task.get_coro()
                assert isinstance(coroutine, Coroutine)
                try:
                    coroutine.close()
                except (RuntimeError, ValueError):  # it is the one that is running
                    continue
