"""One delivery in CHAOS_ONE_IN ends without a word on the statuses."""

import os
from itertools import count
from typing import Any

import agents.attempt


def plant() -> None:
    """Let the status of some moves be forgotten."""
    tell, one_in, numbers = agents.attempt.tell, int(os.environ.get("CHAOS_ONE_IN", "100000")), count(1)

    def forgetful(*what: Any) -> None:
        if next(numbers) % one_in:
            tell(*what)

    agents.attempt.tell = forgetful
