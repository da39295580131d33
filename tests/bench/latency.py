"""What routing adds to the way of one event, and what it costs at a steady rate. `make bench-latency`.

    python tests/bench/latency.py SECONDS=30 USERS=20000

route.high alone in its process, as shipped; an open-loop generator in another. Added latency is the append time of the
delivery less the append time of its notification, both the broker's clock (LogAppendTime, whole milliseconds), for
every event after the first 5 s of a rate, on a broker that is warm. CPU is of the same stretch, for the worker and for
the broker. Last, a process with all flows of the high lane and record stands idle for 20 s.
"""

import json
import time

import msgspec
from measure import cpu_s, load, option, percentile, say
from processes import Phase
from rig import Rig
from workload import event, fill, preferences

from deploy.local.stack import PARTS
from flows import roster
from schemas.channels import CHANNELS
from schemas.vocabulary import Lane

RATES = (500, 2000, 5000)
WARM_UP_S = 40
"""Until the broker's virtual machine has compiled what is hot."""
WARM_S = 5.0
IDLE_S = 20.0
_GROUP = "carillon-route.high"


class Keyed(msgspec.Struct):
    """What tells a delivery's event."""

    idempotency_key: str


_key = msgspec.json.Decoder(Keyed).decode


def appended(rig: Rig, topic: str, phase: Phase) -> dict[str, int]:
    """Append time (ms) of each record of a phase, by idempotency key; the first where one came twice."""
    found: dict[str, int] = {}
    for message in rig.read(topic):
        key = _key(message.value() or b"").idempotency_key
        if key.startswith(f"{phase.name}-"):
            found.setdefault(key, message.timestamp()[1])
    return found


def added(rig: Rig, phase: Phase, users: int) -> list[float]:
    """Milliseconds from notification to delivery, sorted. Raises KeyError where a delivery is missing."""
    began = appended(rig, "notifications.high", phase)
    ended: dict[str, int] = {}
    for channel in CHANNELS:
        ended |= appended(rig, f"{channel}_notifications.high", phase)
    made = (event(number, users, phase.name) for number in range(int(phase.rate * WARM_S), phase.events))
    return sorted(float(ended[one.key] - began[one.key]) for one in made if one.channel is not None)


def steady_load(rig: Rig, pid: int, rate: int, seconds: int, users: int) -> dict[str, float]:
    """One rate: latency and cost."""
    phase = rig.load(f"r{rate}", rate, seconds, users, "high")
    pids = {"worker": pid, "broker": rig.stack.pids()["kafka"]}
    phase.sleep_until(WARM_S)
    before = {name: cpu_s(number) for name, number in pids.items()}
    phase.sleep_until(seconds)
    spent = {name: cpu_s(number) - before[name] for name, number in pids.items()}
    generator = phase.finish()
    end = rig.end("notifications.high")
    rig.until(lambda: rig.committed(_GROUP, "notifications.high") >= end, 60, "the end of the input")
    times = added(rig, phase, users)
    events = rate * (seconds - WARM_S)
    return {
        "rate": rate,
        "p50_ms": percentile(times, 0.5),
        "p99_ms": percentile(times, 0.99),
        "p999_ms": percentile(times, 0.999),
        "max_ms": times[-1],
        "worker_us": round(spent["worker"] / events * 1e6, 1),
        "broker_us": round(spent["broker"] / events * 1e6, 1),
        "generator_late_ms": generator["late_ms"],
        "load": round(load(), 2),
    }


def idle() -> dict[str, float]:
    """Per cent of a core that a process with a lane's flows and record takes when nothing happens, and its broker."""
    flows = [*roster.of_lane(Lane.HIGH), "record"]
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
    seconds, users, before = option("SECONDS", 30), option("USERS", 20_000), load()
    results = []
    with Rig() as rig:
        fill(rig.brokers, "preferences", preferences(users, rig.ring))
        worker = rig.worker("latency", ["route.high"]).start()
        worker.wait_ready()
        rig.follow(worker, _GROUP, "preferences", 120)
        rig.load("warm", max(RATES) // 2, WARM_UP_S, users, "high").finish()
        for rate in RATES:
            found = steady_load(rig, worker.pid, rate, seconds, users)
            say("  ".join(f"{name} {value:g}" for name, value in found.items()))
            results.append(found)
    found = idle()
    say("  ".join(f"{name} {value:g}" for name, value in found.items()))
    say(json.dumps({"rates": results, "load_before": round(before, 2)} | found))


if __name__ == "__main__":
    main()
