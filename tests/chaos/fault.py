"""What a fault is. One file of `faults/` is one fault: a generator that strikes, yields, and heals.

    @fault(1, of="worker", recovers_s=10.0)
    def strike(scene: Scene, draw: Random) -> Iterator[None]:
        \"\"\"What is expected, in one sentence.\"\"\"
        scene.kill(draw.choice(scene.high))
        yield

Through the scene it tells the audit when and whom it hurts: what was in flight there may be repeated.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from scene import Scene

Of = Literal["worker", "broker", "store", "provider", "machine"]
"""What a fault befalls: faults of one kind are not paired."""
Strike = Callable[["Scene", Random], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """One fault, and what it allows."""

    name: str
    numbers: tuple[int, ...]
    """Its numbers in the list of 48, see `fault_list.py`."""
    of: Of
    expected: str
    strike: Callable[[Scene, Random], AbstractContextManager[None]]
    """Strikes when it is entered and heals when it is left."""
    lasts_s: tuple[float, float]
    """How long it lasts, at least and at most; a seed draws from between."""
    recovers_s: float | None
    """How soon after it struck (where it lasts: healed) the p99 from due to call is to be below 500 ms again."""
    ends: bool
    """Whether processes of ours may end themselves because of it."""
    small_disk: bool
    """Whether it wants the broker on a small disk of its own, which takes root to mount."""


def fault(
    *numbers: int,
    of: Of,
    lasts_s: tuple[float, float] = (0.0, 0.0),
    recovers_s: float | None = None,
    ends: bool = False,
    small_disk: bool = False,
) -> Callable[[Strike], Fault]:
    """Make a fault of a generator function."""

    def made(strike: Strike) -> Fault:
        name, expected = strike.__module__.rpartition(".")[2], " ".join((strike.__doc__ or "").split())
        return Fault(name, numbers, of, expected, contextmanager(strike), lasts_s, recovers_s, ends, small_disk)

    return made


def discover() -> dict[str, Fault]:
    """Every fault of `faults/` by its name."""
    names = sorted(path.stem for path in Path(__file__).with_name("faults").glob("*.py"))
    return {name: importlib.import_module(f"faults.{name}").strike for name in names}
