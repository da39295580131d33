"""What tests of processes look at."""

import asyncio
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether something holds within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


async def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the loop go on until something holds; fail when it does not within that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def answers(url: str) -> bool:
    """Whether a server says that all is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def running(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie answers signals too: it is gone, only its parent has not asked yet.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
