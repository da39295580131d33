"""Records on which a stage raised, minute by minute: when they are so many, the fault is in the stage. Pure."""

MOST = 1_000
SHARE = 0.05
WINDOW_S = 60.0


class Culprits:
    """Counts what one flow has run and what it buries for having raised."""

    __slots__ = ("_before", "_records", "_since", "found")

    def __init__(self) -> None:
        self._since = 0.0
        self._records = 0
        self._before = 0
        """Records of the minute before this one: a minute that has just begun says little of a share."""
        self.found = 0
        """Culprits of the minute under way."""

    def ran(self, records: int, now: float) -> None:
        """So many records were run, and are done, at `now` (monotonic seconds)."""
        self._turn(now)
        self._records += records

    def add(self, now: float) -> bool:
        """One is a culprit. Returns whether they are too many: over 5 % of a minute, and over 1,000."""
        self._turn(now)
        self.found += 1
        return self.found > MOST and self.found > SHARE * max(self._records, self._before)

    def _turn(self, now: float) -> None:
        if now - self._since >= WINDOW_S:
            self._since, self._before, self._records, self.found = now, self._records, 0, 0
