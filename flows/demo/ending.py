"""Ctrl-C, SIGTERM and SIGHUP in the demo: at the start they stop it, then they ask for an end, then for a quick one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Signals as the demo takes them."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._running = False
        self.impatient = False
        """Asked for a second time: do not wait for what is still under way."""

    def begin(self) -> None:
        """From now on a signal is a wish; before, it raised KeyboardInterrupt."""
        self._running = True

    def rest(self) -> None:
        """Wait for a further signal, unless one has already said to hurry."""
        if not self.impatient:
            self._asked.clear()
            self._asked.wait()

    def wait(self, seconds: float) -> bool:
        """Wait so long for a wish; whether there is one."""
        return self._asked.wait(seconds)

    def heard(self, *_: Any) -> None:
        """The handler."""
        if not self._running:
            raise KeyboardInterrupt
        self.impatient = self._asked.is_set()
        self._asked.set()


@contextmanager
def listening() -> Iterator[Ending]:
    """Take the signals; their former handlers come back afterwards."""
    ending = Ending()
    former = {number: signal.signal(number, ending.heard) for number in ENDINGS}
    try:
        yield ending
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
