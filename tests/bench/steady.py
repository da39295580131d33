"""What routing adds to the way of one event and what it costs, worker and broker, at steady rates, beside the peers.

    make bench-steady SECONDS=30 USERS=20000 PEERS="carillon,plain like,streams like" RATES=500,2000,5000

One broker; a peer at a time, its worker alone, fed by an open-loop generator in a process of its own through topics of
its own. It has read the preferences, and has had 20 s of the highest rate, for what compiles as it runs. Added latency
is the append time of a delivery less the append time of its notification, both the broker's clock (LogAppendTime, whole
milliseconds), for every event after the first 5 s of a rate. CPU is of the same stretch, for the worker and for the
broker. `behind` is how many events were not committed when the last had been due: more than a second's or two, and the
peer does not keep up. (Bytewax commits nothing in Kafka and cannot tell.)
"""

import time
from typing import Any

import msgspec
from measure import cpu_s, distribution, load, percentile, say
from outputs import topics
from peer import PEERS, Peer, chosen, tell_preferences
from processes import Phase, Worker
from results import Result
from rig import Rig
from workload import event

from deploy.local.results import option, text
from schemas.topics import PREFERENCES, Topic, notifications
from schemas.vocabulary import Lane

RATES = (500, 2000, 5000)
DEFAULT = (
    "carillon,plain lean,plain like,streams lean,streams like,streams gathered,streams exactly,quix like,"
    "bytewax like,faust-tuned lean"
)
WARM_UP_S = 40
"""Until the broker's virtual machine has compiled what is hot."""
WARM_S = 5.0
_PEER_WARM_UP_S = 20
_DRAIN_S = 120.0


class Keyed(msgspec.Struct):
    """What tells a delivery's event."""

    idempotency_key: str


_key = msgspec.json.Decoder(Keyed).decode


class Steady:
    """A peer under steady load; `prefix` is how its input's name begins."""

    def __init__(self, rig: Rig, peer: Peer, worker: Worker, users: int) -> None:
        self.rig, self.peer, self.worker, self.users = rig, peer, worker, users
        self.input = f"{peer.prefix}{notifications(Lane.HIGH).name}"

    def appended(self, topic: str, phase: Phase) -> dict[str, int]:
        """Append time (ms) of each record of a phase, by idempotency key; the first where one came twice."""
        found: dict[str, int] = {}
        for message in self.rig.read(topic):
            key = _key(message.value() or b"").idempotency_key
            if key.startswith(f"{phase.name}-"):
                found.setdefault(key, message.timestamp()[1])
        return found

    def added(self, phase: Phase) -> list[float]:
        """Milliseconds from notification to delivery, sorted. Raises KeyError where a delivery is missing."""
        began = self.appended(self.input, phase)
        ended: dict[str, int] = {}
        for topic in topics(self.peer):
            ended |= self.appended(topic, phase)
        made = (event(number, self.users, phase.name) for number in range(int(phase.rate * WARM_S), phase.events))
        return sorted(float(ended[one.key] - began[one.key]) for one in made if one.channel is not None)

    def load(self, name: str, rate: int, seconds: float) -> Phase:
        """Start the generator."""
        return self.rig.load(name, rate, seconds, self.users, "high", self.peer.prefix)

    def behind(self) -> int | None:
        """Events that are not committed."""
        if not self.peer.commits:
            return None
        return self.rig.end(self.input) - self.rig.committed(self.peer.group, self.input)

    def drain(self) -> None:
        """Wait for the end of the input."""
        if self.peer.commits:
            self.rig.until(lambda: (self.behind() or 0) <= 0, _DRAIN_S, f"{self.peer.name} at the end of the input")
        else:
            time.sleep(1.0)

    def at(self, rate: int, seconds: int) -> dict[str, Any]:
        """One rate: latency and cost."""
        phase = self.load(f"r{rate}", rate, seconds)
        pids = {"worker": self.worker.pid, "broker": self.rig.stack.pids()["kafka"]}
        phase.sleep_until(WARM_S)
        before = {name: cpu_s(number) for name, number in pids.items()}
        phase.sleep_until(seconds)
        spent = {name: cpu_s(number) - before[name] for name, number in pids.items()}
        behind = self.behind()
        generator = phase.finish()
        self.drain()
        times = self.added(phase)
        events = rate * (seconds - WARM_S)
        worker_us, broker_us = (spent[name] / events * 1e6 for name in ("worker", "broker"))
        return {
            "rate": rate,
            "p50_ms": percentile(times, 0.5),
            "p99_ms": percentile(times, 0.99),
            "p999_ms": percentile(times, 0.999),
            "max_ms": times[-1],
            "distribution": distribution(times),
            "worker_us": round(worker_us, 1),
            "broker_us": round(broker_us, 1),
            "sum_us": round(worker_us + broker_us, 1),
            "behind": behind,
            "generator_late_ms": generator["late_ms"],
            "load": round(load(), 2),
        }


def line(found: dict[str, Any]) -> str:
    """One rate, to be read."""
    return "  ".join(f"{name} {value}" for name, value in found.items() if not isinstance(value, list))


def prepare(rig: Rig, users: int, warm_rate: int) -> Worker:
    """Carillon started, its preferences read, and a warm broker; returns Carillon's worker."""
    carillon = PEERS["carillon"]
    tell_preferences(rig, carillon.people, users)
    worker = carillon.worker(rig, notifications(Lane.HIGH).name)
    carillon.learn(rig, worker)
    Steady(rig, carillon, worker, users).load("warm", warm_rate, WARM_UP_S).finish()
    return worker


def measure(rig: Rig, peer: Peer, rates: list[int], seconds: int, users: int) -> list[dict[str, Any]]:
    """One peer at every rate."""
    peer.make(rig)
    name = f"{peer.prefix}{notifications(Lane.HIGH).name}"
    if peer.prefix:
        rig.make([Topic(name, "", None, append_time=True)])
    worker = peer.worker(rig, name)
    peer.learn(rig, worker)
    load_ = Steady(rig, peer, worker, users)
    load_.load("peer-warm", max(rates) // peer.share, _PEER_WARM_UP_S).finish()
    load_.drain()
    found = []
    for rate in rates:
        found.append(one := load_.at(rate, seconds))
        say(f"{peer.name}: {line(one)}")
    worker.stop()
    return found


def main() -> None:
    """Every peer at every rate; all of it as JSON in the last line."""
    seconds, users = option("SECONDS", 30), option("USERS", 20_000)
    rates = [int(rate) for rate in text("RATES", ",".join(map(str, RATES))).split(",")]
    result = Result("steady")
    peers = chosen(text("PEERS", DEFAULT))
    with Rig() as rig:
        prepare(rig, users, max(rates) // 2).stop()
        for topic in {peer.people for peer in peers} - {PREFERENCES.name}:
            tell_preferences(rig, topic, users)
        found: dict[str, list[dict[str, Any]]] = {}
        for peer in peers:
            found[peer.name] = measure(rig, peer, rates, seconds, users)
            result.keep({"peers": found})
    result.save({"seconds": seconds, "users": users, "peers": found})


if __name__ == "__main__":
    main()
