"""One assigned partition: where it is read, where it is run, and what may be committed. Pure.

The next offset is the engine's, never the client's: fetches run in other threads, so records fetched before a rebalance
or a new beginning can arrive after it. What does not begin at the next offset is read anew; only a gap that repeats
after that is real (compaction, transactions, retention).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from agents.stage import Input
from flows.engine.frontier import Frontier, Span


class Verdict(Enum):
    """What to do with records that arrived for a partition."""

    TAKE = auto()
    PUT_BACK = auto()
    NOTHING = auto()


@dataclass(slots=True)
class Partition:
    """State of one partition within one assignment; a new assignment makes a new object, so identity is ownership."""

    topic: str
    number: int
    next: int
    """The offset the next fetched record must have."""
    frontier: Frontier = field(init=False)
    turn: int = field(init=False)
    """The offset the next batch must begin at when it is run."""
    resume_at: float | None = None
    """Monotonic seconds until which a stage handed the partition back, or None."""
    queued: int = 0
    """Records that wait for the agent."""
    full: bool = False
    closing: bool = False
    """Being given up: what is under way may end, nothing may begin."""
    lost: bool = False
    """Given up: nothing of it may have a side effect any more."""
    gap: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.frontier = Frontier(self.next)
        self.turn = self.next

    @property
    def reading(self) -> bool:
        """Whether it wants records now."""
        return not (self.lost or self.full or self.resume_at is not None)

    def receive(self, records: Sequence[Input]) -> tuple[Verdict, Sequence[Input]]:
        """Judge fetched records; what is taken moves `next`."""
        if self.lost or self.resume_at is not None:
            return Verdict.NOTHING, ()
        first = records[0].offset
        if first < self.next:
            records = [record for record in records if record.offset >= self.next]
            if not records:
                return Verdict.PUT_BACK, ()
            first = records[0].offset
        if first > self.next and self.gap != (self.next, first):
            self.gap = (self.next, first)
            return Verdict.PUT_BACK, ()
        self.gap = None
        self.next = records[-1].offset + 1
        return Verdict.TAKE, records

    def rewind(self, offset: int, resume_at: float) -> None:
        """A stage handed back everything from `offset`: read it again after `resume_at` (monotonic seconds)."""
        self.next = self.turn = offset
        self.resume_at = resume_at


Spans = Sequence[tuple[Partition, Span]]
"""The stretches of partitions that one run went over, all of one assignment."""
