"""Play many seeds, or one alone with its story.

    python tests/simulation/run.py                         # 2,000 seeds
    SEEDS=20000 FROM=500 python tests/simulation/run.py
    SEED=4711 python tests/simulation/run.py
    MUTATION=a_ghost_goes_on python tests/simulation/run.py
    STORM=the_wire_is_slow SEEDS=2000 python tests/simulation/run.py

A failing seed is printed as it is found; the last line on stdout is a JSON summary; exit code 1 if any seed failed.
"""

import json
import os
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

SHOWN = 5


def option(name: str, default: int) -> int:
    """A whole number from the environment."""
    return int(os.environ.get(name, default))


def main() -> int:
    """Play what the environment asks for; returns the exit code."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.simulation.mutations import MUTATIONS
    from tests.simulation.scenario import Scenario
    from tests.simulation.staging import replaced
    from tests.simulation.storms import STORMS

    alone = os.environ.get("SEED")
    first, count = (int(alone), 1) if alone else (option("FROM", 0), option("SEEDS", 2000))
    chosen = {change.__name__: change for change in (*MUTATIONS, *STORMS)}.get(
        os.environ.get("MUTATION") or os.environ.get("STORM", "")
    )
    failed: list[int] = []
    kinds: Counter[str] = Counter()
    began = time.perf_counter()
    for seed in range(first, first + count):
        with replaced(chosen()) if chosen else nullcontext():
            scenario = Scenario(seed)
            faults = scenario.play()
        if alone:
            sys.stdout.write("\n".join(scenario.story) + "\n")
        if faults:
            failed.append(seed)
            kinds.update({fault.split(":", 1)[0] for fault in faults})
            told = "\n".join(f"  {fault}" for fault in faults[:SHOWN])
            sys.stdout.write(f"seed {seed} fails; again with SEED={seed}:\n{told}\n")
            sys.stdout.flush()
    minutes = (time.perf_counter() - began) / 60
    summary = {"seeds": count, "from": first, "failed": len(failed), "kinds": kinds, "first": failed[:SHOWN]}
    sys.stdout.write(json.dumps(summary | {"seeds_a_minute": round(count / minutes)}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
