"""The red baseline: the same load, kills and audit for the whole pipeline on stock Faust.

    make chaos-stock [SECONDS=40] [RATE=100] [KILLS=3] [SEED=1]

A JSON summary is the last line on stdout; exit code 1 if the audit found nothing, for then it is the audit that is
wrong. Rows are left out: stock Faust keeps none here. KILLS=0 shows what it does undisturbed.
"""

import itertools
import json
import sys
import time

from audit import Audit, examples
from confluent_kafka.admin import NewTopic
from harness import PARTITIONS, Rig, log
from hurts import Hurt
from ledgers import CHANNELS
from pipeline_audit import audit
from victims import ChaosError, Worker

from deploy.local.results import Run, option

CALL_MS = 100
USERS = 300
QUIET_S = 15.0
"""Once nothing was called or told for so long, it has done what it will do: longer than a rebalance takes."""
DRAIN_S = 240.0


def run(seed: int, seconds: int, rate: int, kills: int) -> Audit:
    """Two workers, of which one after the other is killed and started again."""
    with Rig(("kafka", "sandbox")) as rig:
        rig.behave({"latency_ms": CALL_MS})
        made = [NewTopic(f"stock.{channel}", PARTITIONS, 1) for channel in CHANNELS]
        admin = rig.new_admin()
        for future in admin.create_topics(made).values():
            future.result()
        workers = [rig.worker(f"stock-{name}", "worker", script="stock_faust.py") for name in "ab"]
        for worker in workers:
            worker.wait_ready()
        load = rig.load(seed=seed, rate=rate, seconds=seconds, users=USERS, plain=True)
        load.wait_ready()
        hurts = [_kill(worker, seconds / (kills + 1)) for worker in itertools.islice(itertools.cycle(workers), kills)]
        load.wait(seconds + DRAIN_S)
        _settle(rig)
        return audit(rig, load.ledger, hurts=hurts, store=False)


def _kill(worker: Worker, after_s: float) -> Hurt:
    time.sleep(after_s)
    log(f"kill {worker.name}")
    worker.kill()
    hurt = Hurt(time.time(), "kill", worker.name)
    worker.start()
    return hurt


def _settle(rig: Rig) -> None:
    """Wait until it does no more. Its commits would not do: they are no sign that anything was done."""
    began = still = time.monotonic()
    seen: object = None
    while time.monotonic() - still < QUIET_S:
        if time.monotonic() - began > DRAIN_S:
            raise ChaosError(f"it was still at work after {DRAIN_S:.0f} s")
        found = (rig.called(), rig.ends(["statuses"]))
        if found != seen:
            seen, still = found, time.monotonic()
        time.sleep(0.5)


def main() -> int:
    """One run; returns the exit code."""
    left, kills = Run("chaos", "stock"), option("KILLS", 3)
    result = run(option("SEED", 1), option("SECONDS", 40), option("RATE", 100), kills)
    sys.stdout.write(examples(result) + "\n")
    told = left.keep({**result.figures, "red": sorted(result.faults)})
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if kills and result.clean else 0


if __name__ == "__main__":
    sys.exit(main())
