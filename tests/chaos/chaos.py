"""Strike the whole pipeline under load with faults and pairs of faults, then heal, drain and audit.

    make chaos [SEEDS=3] [DURATION=60] [RATE=150] [USERS=400] [SEED=n] [FAULTS=kill,broker_kill]
    make soak [HOURS=1]

DURATION is seconds of load a seed. Each seed ends with a line of JSON, which is written to .carillon/chaos/ too, there
with what happened second by second. SEED=n runs that seed alone, with the same schedule; FAULTS narrows the choice.
Exit code 1 if the audit of any seed found anything, or a fault was not met as its file says it should be.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import leaks
import pipeline_audit
from audit import examples
from confluent_kafka import KafkaException
from fault import Fault, discover
from harness import log
from recovery import due_times, late, recovered_s, series
from scene import Scene
from schedule import Strike, plan
from small_disk import may_mount
from victims import ChaosError

from deploy.local.results import Run, option
from deploy.local.stack import StackError

DRAIN_S = 180.0
LATE_S = 120.0
"""How long after its end the load may wait for a broker to take all of it."""
Struck = dict[str, Any]


def run(seed: int, duration_s: int, rate: int, users: int, faults: Mapping[str, Fault]) -> dict[str, Any]:
    """One seed, from an empty stack to its audit; returns its summary, with the rows of each second in `seconds`."""
    strikes = plan(seed, duration_s, faults)
    log(f"seed {seed}: {len(strikes)} strikes\n" + "\n".join(f"    {strike}" for strike in strikes))
    small_disk = any(fault.small_disk for strike in strikes for fault in strike.faults)
    with Scene(small_disk=small_disk) as scene:
        scene.load = scene.rig.load(seed=seed, rate=rate, seconds=duration_s, users=users)
        scene.load.wait_ready()
        began = time.time()
        struck = [_strike(scene, strike, began, seed) for strike in strikes]
        scene.load.wait(duration_s + LATE_S)
        scene.heal()
        drained_s = scene.drain(DRAIN_S)
        found = pipeline_audit.audit(scene.rig, scene.load.ledger, hurts=scene.hurts)
        found.expect_none("died_unasked", [death for death in scene.deaths if not death["asked"]])
        found.expect_none("not_as_expected", scene.unseen)
        leaks.check(scene.rig, scene.load.ledger, found)
        seconds = series(due_times(scene.load.ledger), scene.rig.ledger(), began)
    _recoveries(struck, seconds)
    if not found.clean:
        sys.stdout.write(examples(found) + "\n")
    return {
        "seed": seed,
        "struck": struck,
        "late": [s["faults"] for s in struck if s["recovers_s"] is not None and s["recovered_s"] > s["recovers_s"]],
        "deaths": scene.deaths,
        "drained_s": round(drained_s, 1),
        **found.figures,
        "faults": sorted(found.faults),
        "seconds": seconds,
        "resident_mib": scene.resident,
    }


def _strike(scene: Scene, strike: Strike, began: float, seed: int) -> Struck:
    """Strike when it is time, heal when it has lasted; tells when that was."""
    draw = Random(f"{seed}:{strike.at_s}")
    time.sleep(max(0.0, began + strike.at_s - time.time()))
    names = [fault.name for fault in strike.faults]
    struck_s = time.time() - began
    with contextlib.ExitStack() as healing:
        for number, fault in enumerate(strike.faults):
            time.sleep(strike.apart_s if number else 0.0)
            log(f"{time.time() - began:5.1f} s  {fault.name} strikes: {fault.expected}")
            healing.enter_context(scene.under(fault, fault.strike(scene, draw)))
        time.sleep(strike.lasts_s)
    healed_s = time.time() - began
    log(f"{healed_s:5.1f} s  {' and '.join(names)} healed")
    bounds = [fault.recovers_s for fault in strike.faults]
    recovers_s = None if None in bounds else max(bound for bound in bounds if bound is not None)
    return {
        "faults": names,
        "struck_s": round(struck_s, 1),
        "healed_s": round(healed_s, 1),
        "recovers_s": recovers_s,
    }


def _recoveries(struck: Sequence[Struck], seconds: Sequence[Mapping[str, Any]]) -> None:
    """Add to each strike when calls were prompt again after it, and how many seconds were late before the next one."""
    ends = [*(float(after["struck_s"]) for after in struck[1:]), float(len(seconds))]
    for row, until_s in zip(struck, ends, strict=True):
        row["recovered_s"] = recovered_s(seconds, row["struck_s"], row["healed_s"], until_s)
        row["late_s"] = sum(late(seconds, row["struck_s"], until_s))


def tell(summary: dict[str, Any], left: Run) -> None:
    """Print a seed's summary, and leave it in .carillon/chaos with its seconds."""
    left.keep(summary)
    short = {name: value for name, value in summary.items() if name not in ("seconds", "resident_mib")}
    sys.stdout.write(json.dumps(short) + "\n")
    sys.stdout.flush()


def seeds() -> Sequence[int]:
    """Those asked for: one, so many, or as many as fit into HOURS."""
    if "SEED" in os.environ:
        return [option("SEED", 1)]
    first = option("FIRST", 1)
    return range(first, first + option("SEEDS", 3))


def _possible(known: Mapping[str, Fault]) -> dict[str, Fault]:
    """The faults that can be made here."""
    roomy = [name for name, fault in known.items() if fault.small_disk and not may_mount()]
    if roomy:
        log(f"left out, since no small disk can be mounted: {', '.join(roomy)}")
    return {name: fault for name, fault in known.items() if name not in roomy}


def main() -> int:
    """Every seed; returns the exit code."""
    known = discover()
    wanted = os.environ.get("FAULTS", "")
    faults = {name: known[name] for name in wanted.split(",")} if wanted else _possible(known)
    ends_at = time.time() + 3600 * option("HOURS", 0) if "HOURS" in os.environ else None
    failed: list[int] = []
    for seed in seeds():
        if ends_at is not None and time.time() > ends_at:
            break
        left = Run("chaos", f"seed-{seed}")
        try:
            summary = run(seed, option("DURATION", 60), option("RATE", 150), option("USERS", 400), faults)
        except (ChaosError, StackError, KafkaException, OSError) as error:
            summary = {"seed": seed, "faults": ["aborted"], "why": f"{type(error).__name__}: {error}"}
        tell(summary, left)
        if summary["faults"]:
            failed.append(seed)
            log(f"seed {seed} FAILED; the same again: make chaos SEED={seed} DURATION={option('DURATION', 60)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
