"""The router loses one notification, the CHAOS_ONE_IN-th that is to be sent, without a word."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import flows.route
from agents.intake import Intake
from agents.route import choose

Agent = Callable[[Sequence[Any], Any, Any], Sequence[Any]]


class Loser:
    """Loses one."""

    def __init__(self, which: int) -> None:
        self._left = which

    def loses(self, item: Intake) -> bool:
        """Whether this is the one."""
        if not choose(item)[0]:
            return False
        self._left -= 1
        return self._left == 0


def plant() -> None:
    """Let route pass over one of what dedup and enrich have handed it."""
    made = flows.route.route

    def forgetful(*means: Any) -> Agent:
        agent, loser = made(*means), Loser(int(os.environ.get("CHAOS_ONE_IN", "100000")))
        return lambda items, tables, outbox: agent([it for it in items if not loser.loses(it)], tables, outbox)

    flows.route.route = forgetful
