"""Kill and restart two routing workers under load, then hold what they wrote against an independent oracle.

    make chaos-route [SEEDS=4] [EVENTS=500000] [FAULTS=12] [USERS=EVENTS/10] [SEED=n] [KINDS=kill,term,wipe]

KINDS=term/kill,wipe makes two rounds of each seed on one stack, each with EVENTS and FAULTS of its own.

One line a round on stdout, which tells of all rounds so far, and a JSON summary as the last line; exit code 1 if
anything was lost, let through twice or decided otherwise, with examples. SEED=n runs that seed alone, the same way. Two
more seeds follow: one of stalls (SIGSTOP for longer than the group's session, then SIGCONT), one of SIGTERMs alone,
which must write nothing twice.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from audit import examples
from harness import Rig, log
from route_audit import audit
from traffic import Upstream, Written, events, write_preferences
from victims import ChaosError, Worker

from deploy.local.results import Run, option, text

PACE_S = 4.0
"""Mean seconds between faults: a restart takes two to three, so some faults meet a worker that is restoring."""
STALL_S = 8.0
DRAIN_S = 240.0
USUAL = "kill,term,wipe"


def hurt(kind: str, worker: Worker, draw: random.Random) -> None:
    """One fault to one worker, which runs again afterwards."""
    if kind == "stall":
        worker.stall(STALL_S)
    elif kind == "term":
        worker.terminate()
    else:
        worker.kill(wipe=kind == "wipe")
    if not worker.running:
        time.sleep(draw.uniform(0.0, 1.0))
        worker.start()


def run(seed: int, count: int, faults: int, users: int, rounds: Sequence[list[str]]) -> Iterator[dict[str, Any]]:
    """One seed: the figures after each round, among them `faults`, which is empty where all is as it must be."""
    draw, records = random.Random(f"{seed}:faults"), events(seed, None, users)
    in_order = True
    with Rig(large=count > 100_000) as rig:
        write_preferences(rig.producer(), seed, users)
        for kinds in rounds:
            struck = _strike(rig, islice(records, count), count, faults, kinds, draw)
            drained_s = rig.drain(("route.high", "retry.high"), DRAIN_S)
            result = audit(rig)
            in_order = in_order and set(kinds) == {"term"}
            if in_order and result.figures["re_emitted"]:
                result.faults["re_emitted"] = [result.figures["re_emitted"]]
            if not result.clean:
                sys.stdout.write(examples(result) + "\n")
            yield {
                "seed": seed,
                "kinds": kinds,
                "struck": struck,
                **result.figures,
                "drained_s": round(drained_s, 1),
                "faults": sorted(result.faults),
            }


def _strike(
    rig: Rig, records: Iterator[Written], count: int, faults: int, kinds: list[str], draw: random.Random
) -> dict[str, int]:
    """Write `count` records and, meanwhile, hurt the routers; tells how often each kind struck."""
    upstream = Upstream(rig.producer(), records, count // 4, count * 0.75 / (faults * PACE_S))
    upstream.start()
    upstream.backlog.wait()
    if not rig.workers:
        for name in ("route-a", "route-b"):
            rig.worker(name, "route.high")
        rig.worker("retry", "retry.high")
    routers = rig.workers[:2]
    for worker in routers:
        worker.wait_ready()
    struck = Counter[str]()
    for number in range(faults):
        time.sleep(draw.uniform(0.2, 2 * PACE_S - 3.0))
        kind, worker = draw.choice(kinds), draw.choice(routers)
        log(f"fault {number + 1} of {faults}, {kind} {worker.name}")
        hurt(kind, worker, draw)
        struck[kind] += 1
    upstream.join()
    return dict(struck)


Seed = tuple[int, Sequence[list[str]]]
"""A seed and, for each of its rounds, the kinds of fault."""


def plan(seeds: int, kinds: str) -> list[Seed]:
    """The seeds: with the kinds asked for or, if none are, with the usual ones, then stalls and SIGTERMs alone."""
    rounds = [word.split(",") for word in (kinds or USUAL).split("/")]
    if "SEED" in os.environ:
        return [(option("SEED", 0), rounds)]
    found: list[Seed] = [(seed, rounds) for seed in range(1, seeds + 1)]
    return found if kinds else [*found, (seeds + 1, [["stall"]]), (seeds + 2, [["term"]])]


def _tell(row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    rows.append(row)
    sys.stdout.write(" ".join(f"{name}={value}" for name, value in row.items()) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Every seed, one line a round; returns the exit code."""
    left = Run("chaos", "route")
    count, faults = option("EVENTS", 500_000), option("FAULTS", 12)
    users = option("USERS", max(100, count // 10))
    rows: list[dict[str, Any]] = []
    for seed, rounds in plan(option("SEEDS", 4), text("KINDS", "")):
        try:
            for row in run(seed, count, faults, users, rounds):
                _tell(row, rows)
        except ChaosError as error:
            _tell({"seed": seed, "faults": ["aborted"], "why": str(error)}, rows)
    failed = sorted({row["seed"] for row in rows if row["faults"]})
    told = left.keep({"events": count, "faults_a_seed": faults, "failed_seeds": failed, "seeds": rows})
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
