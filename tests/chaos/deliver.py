"""Kill delivery workers while their calls are under way, then audit the whole path: what was sent again, and why.

    make chaos-deliver [SECONDS=100] [KILLS=20] [RATE=400] [SEED=1] [KINDS=kill]

The whole path runs; only the three workers that send SMS are hurt. A JSON summary is the last line on stdout; exit code
1 if the audit found anything. KINDS may also name `term`, `wipe` and `stall`.
"""

import random
import sys
import time
from collections.abc import Iterator

from audit import Audit, report
from harness import Rig, log
from hurts import Hurt
from pipeline_audit import audit
from victims import Worker

from deploy.local.results import option, text

CALL_MS = 150
USERS = 500
DRAIN_S = 200.0


def run(seed: int, seconds: int, kills: int, rate: int, kinds: list[str]) -> Audit:
    """The whole run and what came of it."""
    with Rig(("kafka", "s3", "sandbox")) as rig:
        rig.behave({"latency_ms": CALL_MS})
        targets = [rig.worker(f"deliver-{name}", "deliver.sms.high") for name in "ab"]
        targets.append(rig.worker("deliver-low", "deliver.sms.low"))
        for lane in ("high", "low"):
            flows = ("route", "deliver.push", "deliver.email", "retry")
            rig.worker(f"path-{lane}", *(f"{flow}.{lane}" for flow in flows))
        for worker in rig.workers:
            worker.wait_ready()
        load = rig.load(seed=seed, rate=rate, seconds=seconds, users=USERS)
        load.wait_ready()
        hurts = list(_hurt(targets, kills, seconds, kinds, random.Random(f"{seed}:faults")))
        load.wait(seconds + DRAIN_S)
        drained_s = rig.drain(sorted({flow for worker in rig.workers for flow in worker.flows}), DRAIN_S)
        result = audit(rig, load.ledger, hurts=hurts, store=False)
    result.figures |= {"seed": seed, "drained_s": round(drained_s, 1)}
    return result


def _hurt(targets: list[Worker], kills: int, over_s: float, kinds: list[str], draw: random.Random) -> Iterator[Hurt]:
    """Hurt a worker that is at work, `kills` times over about `over_s` seconds."""
    for number in range(kills):
        time.sleep(draw.uniform(0.5, 1.5) * over_s / (kills + 1))
        kind, worker = draw.choice(kinds), targets[number % len(targets)]
        log(f"fault {number + 1} of {kills}, {kind} {worker.name}")
        worker.wait_ready()
        at = time.time()
        if kind == "stall":
            worker.stall(8.0)
        elif kind == "term":
            worker.terminate()
        else:
            worker.kill(wipe=kind == "wipe")
        yield Hurt(at, kind, worker.name, time.time())
        if not worker.running:
            worker.start()


def main() -> int:
    """One run; returns the exit code."""
    kinds = text("KINDS", "kill").split(",")
    seconds, kills, rate = option("SECONDS", 100), option("KILLS", 20), option("RATE", 400)
    return report("deliver", lambda: run(option("SEED", 1), seconds, kills, rate, kinds))


if __name__ == "__main__":
    sys.exit(main())
