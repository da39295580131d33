"""What waits for the agent of a flow: topics take turns, so that none waits behind the heap of another. Pure."""

from collections import deque
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Turns(Generic[Work]):
    """Pieces of work by topic, those of one topic in their order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Work]] = {}
        """The topic whose turn it is comes first."""

    def add(self, topic: str, work: Work) -> None:
        """Behind what waits of the same topic."""
        self._waiting.setdefault(topic, deque()).append(work)

    def next(self) -> Work:
        """The first of the topic whose turn it is, which then waits behind all others. Raises StopIteration if nothing
        waits."""
        topic = next(iter(self._waiting))
        works = self._waiting.pop(topic)
        work = works.popleft()
        if works:
            self._waiting[topic] = works
        return work
