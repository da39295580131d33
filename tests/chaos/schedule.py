"""Which faults strike when: drawn from the seed alone, so that a seed that failed plays the same again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from fault import Fault

FIRST_S = 4.0
REST_S = (6.0, 10.0)
"""Between a fault's healing and the next: what a recovery has to show itself in."""
PAIRS = 0.3
"""Share of strikes that are of two faults at once."""
APART_S = 1.5
"""How soon the second of a pair follows, at most."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault, or a pair of them: seconds after the load began, and how long both last."""

    at_s: float
    lasts_s: float
    faults: tuple[Fault, ...]
    apart_s: float

    def __str__(self) -> str:
        names = f" then, {self.apart_s:.1f} s later, ".join(fault.name for fault in self.faults)
        return f"{self.at_s:5.1f} s: {names}" + (f", for {self.lasts_s:.1f} s" if self.lasts_s else "")


def plan(seed: int, over_s: float, faults: Mapping[str, Fault]) -> list[Strike]:
    """Strikes within `over_s` seconds of load, with a rest in the end; none comes again before all that fit came."""
    draw, deck, found, at_s = Random(f"{seed}:chaos"), _deck(seed, faults), [], FIRST_S
    while True:
        left_s = over_s - REST_S[0] - at_s
        first = next((fault for _, fault in zip(range(len(faults)), deck, strict=False) if _fits(fault, left_s)), None)
        if first is None:
            return found
        chosen = [first]
        lasts_s = draw.uniform(*first.lasts_s)
        if draw.random() < PAIRS:
            second = draw.choice(list(faults.values()))
            if second.of != first.of and _fits(second, left_s):
                chosen.append(second)
                lasts_s = max(lasts_s, draw.uniform(*second.lasts_s))
        found.append(Strike(at_s, lasts_s, tuple(chosen), draw.uniform(0.0, APART_S)))
        at_s += lasts_s + draw.uniform(*REST_S)


def _fits(fault: Fault, left_s: float) -> bool:
    return fault.lasts_s[1] <= left_s


def _deck(seed: int, faults: Mapping[str, Fault]) -> Iterator[Fault]:
    draw = Random(f"{seed}:deck")
    while True:
        yield from draw.sample(list(faults.values()), len(faults))
