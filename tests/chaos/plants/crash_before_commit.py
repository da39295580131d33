"""The process commits nothing for a while, then ends: all that it wrote is read and worked again."""

import itertools
from collections.abc import Mapping

from flows.engine.seams import Thread
from flows.engine.stop import die

REFUSED = 20
"""Commits, of all flows of the process, that come to nothing."""


def plant() -> None:
    """Refuse commits, then end."""
    count = itertools.count()

    async def refuse(self: Thread, offsets: Mapping[tuple[str, int], int]) -> bool:
        if next(count) >= REFUSED:
            die("planted: before a commit")
        return False

    Thread.commit_now = refuse  # type: ignore[method-assign]
