"""Every error of the project, as one tree; each says what its caller does next.

CarillonError
├── Malformed          a record from outside cannot be used: bury it, go on with the next
├── Unsealable         a sealed field does not open: bury the record, check the key ring's settings
├── Misconfigured      the process cannot start as configured: stop, mend the setting it names
│   ├── Unreachable    a server does not answer: start it, or mend the setting with its address
│   └── TopicsDiffer   topics are missing or have other partition counts: run `carillon topics plan`
└── EngineBroken       the engine met what it does not expect: the process ends at once, its supervisor restarts it
"""

from schemas.vocabulary import Reason


class CarillonError(Exception):
    """The root: catch it only at the edge of a process."""


class Malformed(CarillonError):
    """A record from outside that cannot be used. Bury it with `reason`; never stop a lane for it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class Unsealable(CarillonError):
    """A sealed field does not open with the key ring. Bury the record; check CARILLON_KEYS for a missing key id."""


class Misconfigured(CarillonError):
    """The process cannot start as configured. The message names the setting and what it should be."""


class Unreachable(Misconfigured):
    """A server does not answer. Start it, or mend the setting that `what` names."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}. Is it up? `carillon up` starts a local one")


class TopicsDiffer(Misconfigured):
    """Topics are missing or their partition counts differ. Run `carillon topics plan`, then `carillon topics apply`."""


class EngineBroken(CarillonError):
    """An invariant of the engine is broken. The process must end without committing; its supervisor restarts it."""
