"""What an audit says: figures, and whatever differs from what had to be."""

import json
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from victims import ChaosError

from deploy.local.results import Run

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


def report(name: str, run: Callable[[], Audit]) -> int:
    """Make a run, tell of it and leave its figures; returns the exit code.

    Examples of faults come first, the figures as JSON in the last line; `seconds` are not told, only left.
    """
    left = Run("chaos", name)
    try:
        result = run()
    except ChaosError as error:
        sys.stdout.write(json.dumps({"faults": ["aborted"], "why": str(error)}) + "\n")
        return 1
    if result.faults:
        sys.stdout.write(examples(result) + "\n")
    left.keep(result.figures | {"faults": sorted(result.faults)})
    told = {name: figure for name, figure in result.figures.items() if name != "seconds"}
    sys.stdout.write(json.dumps(told | {"faults": sorted(result.faults)}) + "\n")
    return 1 if result.faults else 0
