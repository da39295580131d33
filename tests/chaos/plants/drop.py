"""The router loses one notification in CHAOS_ONE_IN, without a word."""

import os
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import flows.route

Agent = Callable[[Sequence[Any], Any, Any], Sequence[Any]]


def plant() -> None:
    """Let route pass over some of what dedup and enrich have handed it."""
    made, one_in, numbers = flows.route.route, int(os.environ.get("CHAOS_ONE_IN", "100000")), count(1)

    def forgetful(*means: Any) -> Agent:
        agent = made(*means)
        return lambda items, tables, outbox: agent([item for item in items if next(numbers) % one_in], tables, outbox)

    flows.route.route = forgetful
