"""What an audit says: figures, and whatever differs from what had to be."""

import json
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from victims import ChaosError

EXAMPLES = 5


class Audit:
    """Figures of one run, and whatever differs from what had to be."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.faults: dict[str, list[object]] = {}

    def expect_none(self, name: str, found: Iterable[object]) -> None:
        """Anything in `found` is a fault; the first few are kept as examples."""
        everything = list(found)
        self.figures[name] = len(everything)
        if everything:
            self.faults[name] = everything[:EXAMPLES]

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not self.faults


def examples(result: Audit) -> str:
    """The faults, a few of each, for people."""
    return "\n".join(f"  {name}: {list(islice(found, EXAMPLES))}" for name, found in result.faults.items())


def report(run: Callable[[], Audit]) -> int:
    """Make a run and tell of it: examples of faults, the figures as JSON in the last line; returns the exit code."""
    try:
        result = run()
    except ChaosError as error:
        sys.stdout.write(json.dumps({"faults": ["aborted"], "why": str(error)}) + "\n")
        return 1
    if result.faults:
        sys.stdout.write(examples(result) + "\n")
    sys.stdout.write(json.dumps({**result.figures, "faults": sorted(result.faults)}) + "\n")
    return 1 if result.faults else 0
