"""Play many seeds, or one alone with its story.

    make simulate                                          # 2,000 seeds
    make simulate SEEDS=20000 FROM=500
    make simulate SEED=4711
    make simulate CHANGE=a_ghost_goes_on                   # a guard that is taken away: this must fail
    make simulate CHANGE=the_wire_is_slow SEEDS=500        # a storm

A failing seed is printed as it is found; the last line on stdout is a JSON summary; exit code 1 if any seed failed.
"""

import json
import sys
import time
from collections import Counter

from deploy.local.results import option, text
from tests.simulation.play import CHANGES, Players, play

SHOWN = 5


def main() -> int:
    """Play what is asked for; returns the exit code."""
    change = text("CHANGE", "")
    if change and change not in CHANGES:
        sys.stderr.write(f"no CHANGE is called {change}; there are: {', '.join(sorted(CHANGES))}\n")
        return 2
    if alone := text("SEED", ""):
        played = play(int(alone), change)
        sys.stdout.write("\n".join([*played.story, *(f"  {fault}" for fault in played.faults)]) + "\n")
        return 1 if played.faults else 0
    first = option("FROM", 0)
    return _many(range(first, first + option("SEEDS", 2000)), change)


def _many(seeds: range, change: str) -> int:
    failed: list[int] = []
    kinds: Counter[str] = Counter()
    began = time.perf_counter()
    with Players() as players:
        for played in players.play(seeds, change):
            if played.faults:
                failed.append(played.seed)
                kinds.update({fault.split(":", 1)[0] for fault in played.faults})
                told = "\n".join(f"  {fault}" for fault in played.faults[:SHOWN])
                sys.stdout.write(f"seed {played.seed} fails; again with make simulate SEED={played.seed}:\n{told}\n")
                sys.stdout.flush()
    minutes = (time.perf_counter() - began) / 60
    summary = {"seeds": len(seeds), "from": seeds.start, "failed": len(failed), "kinds": kinds, "first": failed[:SHOWN]}
    sys.stdout.write(json.dumps(summary | {"seeds_a_minute": round(len(seeds) / minutes)}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
