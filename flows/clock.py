"""The one place where wall time is read; everything below takes it as an argument."""

import time


def now_ms() -> int:
    """UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
