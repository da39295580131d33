"""The faults of a run as an audit sees them: when they struck, and what they excuse."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

RECOVERY_S = 10.0
"""How long after a fault nothing is promised about time."""
ANSWER_S = 15.0
"""How long the outcome of a call may take to become durable: the longest a provider is waited for, and a margin."""


@dataclass(frozen=True, slots=True)
class Hurt:
    """A fault that struck at `at` (epoch seconds): a `worker`, or with None something all of them need. `healed` is
    when it was over; without it the moment itself."""

    at: float
    name: str
    worker: str | None = None
    healed: float | None = None
    in_order: bool = False
    """Whether all that was lost is time: workers were away, and had ended their work in order."""

    @property
    def over(self) -> float:
        """When it was over."""
        return max(self.at, self.healed or self.at)


class Hurts:
    """Every fault of a run."""

    def __init__(self, hurts: Sequence[Hurt]) -> None:
        self._hurts = sorted(hurts, key=lambda hurt: hurt.at)
        self._shadows: list[tuple[float, float]] = []
        for hurt in self._hurts:
            ends = hurt.over + RECOVERY_S
            if self._shadows and hurt.at <= self._shadows[-1][1]:
                self._shadows[-1] = (self._shadows[-1][0], max(self._shadows[-1][1], ends))
            else:
                self._shadows.append((hurt.at, ends))
        self._starts = [starts for starts, _ in self._shadows]
        self._before = [0.0, *accumulate(ends - starts for starts, ends in self._shadows)]

    def healthy_s(self, since: float, until: float) -> float:
        """Seconds between two moments in which no fault was on, nor just over."""
        return until - since - (self._shadow_s(until) - self._shadow_s(since))

    def _shadow_s(self, until: float) -> float:
        """Seconds up to a moment in which a fault was on, or just over."""
        place = bisect_right(self._starts, until)
        if not place:
            return 0.0
        starts, ends = self._shadows[place - 1]
        return self._before[place - 1] + min(until, ends) - starts

    def on(self, since: float, until: float) -> Hurt | None:
        """The first fault between two moments, if there was one. A worker's comes before what all of them need."""
        struck = (hurt for hurt in self._hurts if not hurt.in_order)
        found = [hurt for hurt in struck if hurt.at <= until and hurt.over + 1.0 >= since]
        return min(found, key=lambda hurt: (hurt.worker is None, hurt.at), default=None)

    def after_call(self, at: float, delay: float) -> Hurt | None:
        """The fault that may have cost us the outcome of a call which was read at `at`."""
        return self.on(at, at + delay + ANSWER_S)
