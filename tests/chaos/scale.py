"""Grow routing from one worker to two and four under load and shrink it again: nothing lost, nothing written twice.

    make chaos-scale [EVENTS=300000] [STEP=15] [SEED=1]

STEP is seconds under load at each size. A JSON summary is the last line on stdout; exit code 1 on any difference from
the oracle, or if a rebalance or an orderly end wrote a delivery twice.
"""

import sys
import time
from typing import Any

from audit import Audit, report
from harness import Rig, log
from route_audit import audit
from traffic import Upstream, events, write_preferences

from deploy.local.results import option

SIZES = (1, 2, 4, 2, 1)
DRAIN_S = 240.0


def resize(rig: Rig, size: int) -> float:
    """Start or end workers until there are `size`; returns the seconds until the new ones work."""
    running = [worker for worker in rig.workers if "route.high" in worker.flows and worker.running]
    for worker in running[size:]:
        worker.terminate()
    idle = [worker for worker in rig.workers if "route.high" in worker.flows and not worker.running]
    made = idle[: max(0, size - len(running))]
    began = time.monotonic()
    for worker in made:
        worker.start()
    while len(running) + len(made) < size:
        made.append(rig.worker(f"route-{len(rig.workers)}", "route.high"))
    for worker in made:
        worker.wait_ready()
    return time.monotonic() - began if made else 0.0


def run(seed: int, count: int, step_s: float, users: int) -> Audit:
    """Every size in turn, then the audit."""
    steps: list[dict[str, Any]] = []
    with Rig(large=count > 100_000) as rig:
        write_preferences(rig.producer(), seed, users)
        upstream = Upstream(
            rig.producer(), events(seed, count, users), count // 10, count * 0.9 / (len(SIZES) * step_s)
        )
        upstream.start()
        upstream.backlog.wait()
        rig.worker("retry", "retry.high")
        for size in SIZES:
            ready_s = resize(rig, size)
            log(f"{size} routing workers, ready after {ready_s:.1f} s")
            steps.append({"workers": size, "ready_s": round(ready_s, 1)})
            time.sleep(step_s)
        upstream.join()
        drained_s = rig.drain(("route.high", "retry.high"), DRAIN_S)
        result = audit(rig)
    if result.figures["re_emitted"]:
        result.faults["re_emitted"] = [result.figures["re_emitted"]]
    result.figures |= {"seed": seed, "steps": steps, "drained_s": round(drained_s, 1)}
    return result


def main() -> int:
    """One run; returns the exit code."""
    count = option("EVENTS", 300_000)
    return report(
        "scale", lambda: run(option("SEED", 1), count, option("STEP", 15), option("USERS", max(100, count // 10)))
    )


if __name__ == "__main__":
    sys.exit(main())
