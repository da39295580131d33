"""enrich: who is this user, where can they be reached, what did they refuse? One unknown is asked for again later."""

from collections.abc import Callable, Sequence

from agents.hold import hold
from agents.intake import Intake, decide
from agents.stage import Outbox, Tables
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step
from tables.preferences import Entry, unpack

UNKNOWN_WAITS_S = (1, 2, 4)
"""An event can overtake the preference of a new user: so it is looked up again, then suppressed."""


def enrich(
    lane: Lane, ring: KeyRing, clock: Callable[[], int]
) -> Callable[[Sequence[Intake], Tables, Outbox], list[Intake]]:
    """The agent of one lane: adds each user's preference."""

    def agent(items: Sequence[Intake], tables: Tables, outbox: Outbox) -> list[Intake]:
        now, preferences = clock(), tables["preferences"]
        preferences.load([item.key for item in items])
        known = []
        for item in items:
            entry = preferences.get(item.key)
            if entry is not None:
                item.entry = _unpack(entry)
                known.append(item)
            elif (tries := item.notification.tries) < len(UNKNOWN_WAITS_S):
                hold(outbox, lane, item, tries + 1, now + UNKNOWN_WAITS_S[tries] * 1000, now, ring)
                decide(outbox, lane, item, Step.HELD, now, Reason.UNKNOWN_USER)
            else:
                decide(outbox, lane, item, Step.SUPPRESSED, now, Reason.UNKNOWN_USER)
        return known

    return agent


_unpack: Callable[[bytes], Entry] = unpack
