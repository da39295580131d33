"""Holds the four ledgers of a drained run of the whole pipeline against one another and against the oracle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import Audit
from harness import Rig
from ledgers import Ledgers, read

IN_FLIGHT = 64
"""Calls under way at a time in one worker, at most: what a kill may leave unknown."""


@dataclass(frozen=True, slots=True)
class Hurt:
    """A fault that struck at `at` (epoch seconds): a `worker`, or with None something all of them need. `healed` is
    when it was over; without it the moment itself."""

    at: float
    name: str
    worker: str | None = None
    healed: float | None = None


def audit(rig: Rig, accepted: Path, *, hurts: Sequence[Hurt] = (), store: bool = True) -> Audit:
    """Read the ledgers of a drained run, the load client's from `accepted`, and compare. Without `store` nothing is
    said of rows."""
    return examine(read(rig, accepted, store=store), hurts, store=store)


def examine(ledgers: Ledgers, hurts: Sequence[Hurt] = (), *, store: bool = True) -> Audit:
    """Compare; pure."""
    result = Audit()
    result.figures["accepted"] = sum(entry.kind == "request" and entry.result == "ok" for entry in ledgers.accepted)
    return result
