"""Seeds played side by side, a process for each core."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple, Self

from tests.simulation.mutations import MUTATIONS
from tests.simulation.scenario import Scenario
from tests.simulation.staging import replaced
from tests.simulation.storms import STORMS

CHANGES = {change.__name__: change for change in (*MUTATIONS, *STORMS)}
"""What a seed may be played under: a guard that is taken away, or a storm."""
_AT_ONCE = 4
"""Seeds that each process is given before any is looked at: few, as a fault is most often found at once."""


class Played(NamedTuple):
    """A seed: what was wrong, what it has met, in how many steps, and its story."""

    seed: int
    faults: list[str]
    met: Counter[str]
    steps: int
    story: list[str]


def play(seed: int, change: str = "") -> Played:
    """Play one seed, under a change by its name."""
    with replaced(CHANGES[change]()) if change else nullcontext():
        scenario = Scenario(seed)
        faults = scenario.play()
    return Played(seed, faults, scenario.met(), scenario.clockwork.steps, scenario.story)


class Players:
    """Processes that play; leaving it ends them."""

    def __init__(self) -> None:
        # Spawned: a fork would take over threads that the tests have started.
        self._count = os.cpu_count() or 1
        self._pool = get_context("spawn").Pool(self._count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def play(self, seeds: range, change: str = "") -> Iterator[Played]:
        """Seeds in their order, one by one; whoever has seen enough leaves the rest unplayed."""
        step = _AT_ONCE * self._count
        for start in range(0, len(seeds), step):
            yield from self._pool.imap(partial(play, change=change), seeds[start : start + step])
