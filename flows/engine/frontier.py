"""The commit frontier: the contiguous prefix of done batches of one partition. Pure."""

from collections import deque


class Span:
    """One batch's stretch of a partition; it is done once all it caused is durable."""

    __slots__ = ("done", "ends", "since")

    def __init__(self, ends: int, since: float) -> None:
        self.ends = ends
        self.since = since
        self.done = False


class Frontier:
    """What may be committed. A span that is done behind one that is not waits for it, whatever the order of acks."""

    __slots__ = ("_spans", "committed", "position")

    def __init__(self, start: int) -> None:
        self.position = start
        self.committed = start
        self._spans: deque[Span] = deque()

    def begin(self, ends: int, now: float) -> Span:
        """A batch up to (not including) offset `ends` is under way since `now` (seconds)."""
        span = Span(ends, now)
        self._spans.append(span)
        return span

    def finish(self, span: Span) -> None:
        """`span` is durable: move over every span that is done without a hole."""
        span.done = True
        spans = self._spans
        while spans and spans[0].done:
            self.position = spans.popleft().ends

    def waiting_since(self) -> float | None:
        """When the oldest span that is not done began, or None."""
        return self._spans[0].since if self._spans else None
