"""The event loop is blocked for good some seconds after the start."""

import asyncio
import time

from flows.engine.host.watchdog import Watchdog

AFTER_S = 5.0
FOR_S = 600.0


def plant() -> None:
    """Block the loop once the process works."""
    start = Watchdog.start

    def started(self: Watchdog) -> None:
        start(self)
        asyncio.get_running_loop().call_later(AFTER_S, time.sleep, FOR_S)

    Watchdog.start = started  # type: ignore[method-assign]
