"""Up to when a replicated table is known to be current: Kafka says how far its partitions go, and that far was read.

A broker that says nothing proves nothing: that no record comes is no proof.
"""

from collections.abc import Iterable, Mapping


class Proof:
    """The proof of one table, by its partitions' numbers. Moments are seconds of one clock that never goes back."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._read = dict.fromkeys(partitions, 0)
        """The next offset of each."""
        self._ends: Mapping[int, int] = {}
        self._asked_at = 0.0
        self.current_at: float | None = None
        """The table holds all that was in its topic at this moment; None before its first full read."""

    def read(self, partition: int, next_offset: int) -> None:
        """A partition was read up to before this offset."""
        self._read[partition] = next_offset
        self._see()

    def ends(self, asked_at: float, ends: Mapping[int, int]) -> None:
        """Kafka was asked at this moment for the ends of all partitions, and said these.

        Ends that are not yet reached stay until they are: else a table that is written to all the time would never be.
        """
        if not self._ends:
            self._ends, self._asked_at = ends, asked_at
            self._see()

    def _see(self) -> None:
        if self._ends and all(self._read[number] >= end for number, end in self._ends.items()):
            self.current_at, self._ends = self._asked_at, {}
