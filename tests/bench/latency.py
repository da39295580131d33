"""What routing adds to the way of one event, and what it costs at a steady rate. `make bench-latency`.

    python tests/bench/latency.py SECONDS=30 USERS=20000

route.high alone in its process, as shipped, measured as steady.py says, which measures it beside its peers. Then a
process with all flows of the high lane and record stands idle for 20 s.
"""

import time

from measure import cpu_s, say
from peer import PEERS
from results import Result
from rig import Rig
from steady import RATES, Steady, line, prepare

from deploy.local.results import option
from deploy.local.stack import PARTS
from flows import roster
from schemas.vocabulary import Lane

IDLE_S = 20.0


def idle() -> dict[str, float]:
    """Per cent of a core that a process with a lane's flows and record takes when nothing happens, and its broker."""
    flows = [*roster.of_lane(Lane.HIGH), "record", "record.preferences"]
    with Rig(PARTS) as rig:
        worker = rig.worker("idle", flows).start()
        worker.wait_ready()
        time.sleep(8)
        pids = {"worker": worker.pid, "broker": rig.stack.pids()["kafka"]}
        before = {name: cpu_s(number) for name, number in pids.items()}
        time.sleep(IDLE_S)
        found = {f"idle_{name}_percent": (cpu_s(number) - before[name]) / IDLE_S * 100 for name, number in pids.items()}
    return {"idle_flows": len(flows)} | {name: round(share, 1) for name, share in found.items()}


def main() -> None:
    """Measure, print a line a rate, and everything as JSON in the last line."""
    seconds, users, result = option("SECONDS", 30), option("USERS", 20_000), Result("latency")
    results = []
    with Rig() as rig:
        load_ = Steady(rig, PEERS["carillon"], prepare(rig, users, max(RATES) // 2), users)
        for rate in RATES:
            results.append(found := load_.at(rate, seconds))
            say(line(found))
    standing = idle()
    say(line(standing))
    result.save({"rates": results} | standing)


if __name__ == "__main__":
    main()
