"""Every error of the project, as one tree; each says what its caller does next.

CarillonError
├── Malformed          a record from outside cannot be used: bury it, go on with the next
├── Unsealable         a sealed field does not open: bury the record, check the key ring's settings
├── Misconfigured      the process cannot start as configured: stop, mend the setting it names
│   ├── Unreachable    a server does not answer: start it, or mend the setting with its address
│   ├── LogRecreated   a topic was deleted and made anew: remove the state that belongs to the former one
│   └── TopicsDiffer   topics are missing or have other partition counts: run `carillon topics plan`
└── EngineBroken       the engine met what it does not expect: the process ends at once, its supervisor restarts it
"""

from collections.abc import Mapping

from schemas.vocabulary import Reason

_NAMED = 3


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


class LogRecreated(Misconfigured):
    """A log ends before an offset that was reached in it. Remove the state that the message names: no restart helps."""


class TopicsDiffer(Misconfigured):
    """Topics are missing or their partition counts differ. Run `carillon topics plan`, then `carillon topics apply`."""

    @classmethod
    def of(cls, found: Mapping[str, int], wanted: int) -> "TopicsDiffer":
        """Say which counts (0: missing) are not the wanted one: a few names of each, then how many more."""
        groups: dict[int, list[str]] = {}
        for name, count in sorted(found.items()):
            if count != wanted:
                groups.setdefault(count, []).append(name)
        said = []
        for count, names in sorted(groups.items()):
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            what = f"have {count} partitions" if count else "are missing"
            said.append(f"topics {', '.join(names[:_NAMED])}{more} {what}")
        return cls(f"{'; '.join(said)}; CARILLON_PARTITIONS says {wanted}: see `carillon topics plan`")


class EngineBroken(CarillonError):
    """An invariant of the engine is broken. The process must end without committing; its supervisor restarts it."""
