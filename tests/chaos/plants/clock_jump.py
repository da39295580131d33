"""The wall clock jumps an hour ahead some seconds after the start, then two hours back, and is right again."""

import time

JUMPS = ((4.0, 0.0), (8.0, 3600.0), (12.0, -3600.0))
"""Until how many seconds after the start the clock is how many seconds ahead."""


def plant() -> None:
    """Put the clock of the process wrong."""
    right, right_ns, began = time.time, time.time_ns, time.monotonic()

    def ahead_s() -> float:
        age_s = time.monotonic() - began
        return next((ahead for until, ahead in JUMPS if age_s < until), 0.0)

    time.time = lambda: right() + ahead_s()
    time.time_ns = lambda: right_ns() + int(ahead_s() * 1e9)
