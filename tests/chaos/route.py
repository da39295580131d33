"""Kill and restart two routing workers under load, then hold what they wrote against an independent oracle.

    make chaos-route [SEEDS=4] [EVENTS=500000] [FAULTS=12] [USERS=EVENTS/10] [SEED=n] [KINDS=kill,term,wipe]

One line a seed on stdout and a JSON summary as the last line; exit code 1 if anything was lost, let through twice or
decided otherwise, with examples. SEED=n runs that seed alone, the same way. Two more seeds follow: one of stalls
(SIGSTOP for longer than the group's session, then SIGCONT), one of SIGTERMs alone, which must write nothing twice.
"""

import json
import os
import random
import sys
import time
from typing import Any

from audit import examples
from harness import Rig, log
from route_audit import audit
from traffic import Upstream, events, write_preferences
from victims import ChaosError, Worker

from deploy.local.results import Run, option

PACE_S = 4.0
"""Mean seconds between faults: a restart takes two to three, so some faults meet a worker that is restoring."""
STALL_S = 8.0
DRAIN_S = 240.0


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


def run(seed: int, count: int, faults: int, users: int, kinds: list[str]) -> dict[str, Any]:
    """One seed: its figures, among them `faults`, which is empty where all is as it must be."""
    draw = random.Random(f"{seed}:faults")
    with Rig(large=count > 100_000) as rig:
        write_preferences(rig.producer(), seed, users)
        upstream = Upstream(rig.producer(), events(seed, count, users), count // 4, count * 0.75 / (faults * PACE_S))
        upstream.start()
        upstream.backlog.wait()
        workers = [rig.worker(f"route-{name}", "route.high") for name in "ab"]
        rig.worker("retry", "retry.high")
        for worker in workers:
            worker.wait_ready()
        for number in range(faults):
            time.sleep(draw.uniform(0.2, 2 * PACE_S - 3.0))
            kind, worker = draw.choice(kinds), draw.choice(workers)
            log(f"seed {seed}: fault {number + 1} of {faults}, {kind} {worker.name}")
            hurt(kind, worker, draw)
        upstream.join()
        drained_s = rig.drain(("route.high", "retry.high"), DRAIN_S)
        result = audit(rig)
    if set(kinds) == {"term"} and result.figures["re_emitted"]:
        result.faults["re_emitted"] = [result.figures["re_emitted"]]
    if not result.clean:
        sys.stdout.write(examples(result) + "\n")
    return {
        "seed": seed,
        "kinds": kinds,
        **result.figures,
        "drained_s": round(drained_s, 1),
        "faults": sorted(result.faults),
    }


def plan(seeds: int, kinds: list[str]) -> list[tuple[int, list[str]]]:
    """The seeds with their kinds of fault: those asked for, one of stalls and one of SIGTERMs alone."""
    if "SEED" in os.environ:
        return [(option("SEED", 0), kinds)]
    found = [(seed, kinds) for seed in range(1, seeds + 1)]
    return found if "KINDS" in os.environ else [*found, (seeds + 1, ["stall"]), (seeds + 2, ["term"])]


def main() -> int:
    """Every seed, one line each; returns the exit code."""
    left = Run("chaos", "route")
    count, faults = option("EVENTS", 500_000), option("FAULTS", 12)
    users = option("USERS", max(100, count // 10))
    rows = []
    for seed, kinds in plan(option("SEEDS", 4), os.environ.get("KINDS", "kill,term,wipe").split(",")):
        try:
            row = run(seed, count, faults, users, kinds)
        except ChaosError as error:
            row = {"seed": seed, "kinds": kinds, "faults": ["aborted"], "why": str(error)}
        rows.append(row)
        sys.stdout.write(" ".join(f"{name}={value}" for name, value in row.items()) + "\n")
        sys.stdout.flush()
    failed = [row["seed"] for row in rows if row["faults"]]
    told = left.keep({"events": count, "faults_a_seed": faults, "failed_seeds": failed, "seeds": rows})
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
