"""The routing stage on a backlog, as shipped, and its peers on the same broker in the same run. `make bench-route`.

    python tests/bench/route.py EVENTS=500000 USERS=100000 RUNS=3

Each run has a broker of its own (fresh, one node, replication 1) and takes every peer in turn, the order changing:

carillon   route.high alone in its process, default settings: decisions, sealing, durable changelog. The preferences
           are in its tables and committed before: a first start reads them and is stopped with SIGTERM; then the
           events are written; then it is started again and measured from `flow_ready` to the commit of the last event.
recovery   carillon is killed with -9 after that, its state folder removed, and started again under its id: seconds
           from the start of the process to `flow_ready`, with every dedup entry and preference back.
plain      plain_loop.py, lean and like; preferences read before it is measured. A pass of it that does not count comes
           first of all, so that no peer pays for a broker whose code is not yet compiled.
stock      stock_faust.py on a fifth of the events and users; preferences written and committed before.

CPU is user + system of the worker with all its threads; `steady` the same between a fifth and nine tenths of the way.
Wall rates end with the append time of the last output. What each wrote is held against an independent pass over the
input before its figures count: deliveries distinct by key, per channel; `again` counts what was written twice.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from measure import BenchError, Sample, load, option, rss_mb, say, spread, steady
from processes import Worker
from rig import HERE, Rig
from workload import backlog, expected, fill, preferences

from schemas.channels import CHANNELS
from schemas.topics import Topic

_GROUP = "carillon-route.high"
Records = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Figures:
    """One peer, one run."""

    cpu_us: float
    steady_us: float
    wall_per_s: float
    rss_mb: float
    again: int
    recovery_s: float = 0.0


class Run:
    """One run: a broker, the events, each peer."""

    def __init__(self, rig: Rig, events: Records, users: int) -> None:
        self.rig, self.events, self.users = rig, events, users

    def prepare(self) -> None:
        """Write the preferences, have Carillon commit them, write the events, and warm the broker up on them."""
        fill(self.rig.brokers, "preferences", preferences(self.users, self.rig.ring))
        self.worker = self.rig.worker("carillon", ["route.high"])
        ready = self.worker.start().wait_ready()
        self.rig.follow(self.worker, _GROUP, "preferences", 120)
        self.worker.stop()
        say(f"  {self.users} preferences committed; the first start was ready after {ready:.1f} s")
        fill(self.rig.brokers, "notifications.high", iter(self.events))
        self.plain("warm")

    def carillon(self) -> Figures:
        """The flow as shipped, then its recovery."""
        rig, worker = self.rig, self.worker
        worker.start().wait_ready()
        samples, at = rig.follow(worker, _GROUP, "notifications.high", 600), time.time()
        memory = rss_mb(worker.pid)
        again, last = self.check("{}_notifications.high", len(self.events), self.users)
        worker.kill()
        worker.wipe()
        recovery = worker.start().wait_ready()
        worker.stop()
        return figures(samples, min(at, last), memory, again, recovery)

    def make(self, prefix: str, names: list[str]) -> None:
        """Topics of a peer."""
        self.rig.make([Topic(f"{prefix}.{name}", "", None, append_time=True) for name in names])

    def plain(self, variant: str) -> Figures:
        """The plain loop."""
        outputs = [f"{channel}_notifications.high" for channel in CHANNELS]
        self.make(f"plain.{variant}", [*outputs, "changelog", "statuses"])
        worker = self.peer(f"plain-{variant}", "plain_loop.py", variant, "ready")
        worker.start().wait_ready()
        samples, at = self.rig.follow(worker, f"plain.{variant}.route", "notifications.high", 600), time.time()
        again, last = self.check(f"plain.{variant}.{{}}_notifications.high", len(self.events), self.users)
        memory = rss_mb(worker.pid)
        worker.kill()
        return figures(samples, min(at, last), memory, again)

    def peer(self, name: str, script: str, argument: str, ready: str) -> Worker:
        """A peer as a process."""
        return Worker(self.rig, name, [sys.executable, str(HERE / script), argument], ready)

    def stock(self) -> Figures:
        """Stock Faust on a fifth."""
        count, users = len(self.events) // 5, self.users // 5
        channels = [f"{channel}_notifications" for channel in CHANNELS]
        # Faust makes the changelogs itself, but only after it has looked for them.
        self.make("stock", ["notifications", "preferences", "dedup-changelog", "users-changelog", *channels])
        fill(self.rig.brokers, "stock.preferences", preferences(users, self.rig.ring))
        worker = self.peer("stock", "stock_faust.py", "worker", "ready").start()
        self.rig.follow(worker, "stock-route", "stock.preferences", 300)
        fill(self.rig.brokers, "stock.notifications", ((e.user, e.body) for e in backlog(count, users)))
        samples, at = self.rig.follow(worker, "stock-route", "stock.notifications", 900), time.time()
        again, last = self.check("stock.{}_notifications", count, users, strict=False)
        memory = rss_mb(worker.pid)
        worker.kill()
        return figures(samples, min(at, last), memory, again)

    def check(self, topics: str, count: int, users: int, strict: bool = True) -> tuple[int, float]:
        """Hold outputs against the expected; returns how many came again, and when the last was appended."""
        wanted, written, last = expected(count, users), 0, 0.0
        for channel, number in wanted.items():
            keys: set[bytes] = set()
            for message in self.rig.read(topics.format(channel)):
                written += 1
                keys.add(message.key() or b"")
                last = max(last, message.timestamp()[1] / 1000)
            if len(keys) != number:
                words = f"{topics.format(channel)}: {len(keys)} distinct deliveries, expected {number}"
                if strict:
                    raise BenchError(words)
                say(f"  {words}: LOST OR TOO MANY")
        return written - sum(wanted.values()), last


def figures(samples: list[Sample], last: float, memory: float, again: int, recovery: float = 0.0) -> Figures:
    """What the samples of one peer come to."""
    first, end = samples[0], samples[-1]
    done = end.done - first.done
    return Figures(
        (end.cpu - first.cpu) / done * 1e6, steady(samples), done / (last - first.at), memory, again, recovery
    )


def once(number: int, events: Records, users: int) -> dict[str, Figures]:
    """One run over all peers, in an order that turns with the run."""
    with Rig() as rig:
        run = Run(rig, events, users)
        run.prepare()
        peers: list[tuple[str, Callable[[], Figures]]] = [
            ("carillon", run.carillon),
            ("plain lean", lambda: run.plain("lean")),
            ("plain like", lambda: run.plain("like")),
            ("stock Faust", run.stock),
        ]
        found = {}
        turned = number % len(peers)
        for name, peer in peers[turned:] + peers[:turned]:
            before = load()
            found[name] = peer()
            say(f"  {name}: {found[name].cpu_us:.1f} us/event, load {before:.1f} -> {load():.1f}")
        return found


def main() -> None:
    """Measure, print the table, and the figures as JSON in the last line."""
    count, users, runs = option("EVENTS", 500_000), option("USERS", 100_000), option("RUNS", 3)
    before = load()
    say(f"{count} events, {users} users, {runs} runs, load {before:.2f}")
    events = [(event.user, event.body) for event in backlog(count, users)]
    results = []
    for number in range(runs):
        say(f"run {number + 1}")
        results.append(once(number, events, users))
    say(f"\n{'':12}" + "".join(f"{field.name:>22}" for field in fields(Figures)))
    for name in sorted(results[0]):
        columns = [[getattr(run[name], field.name) for run in results] for field in fields(Figures)]
        say(f"{name:12}" + "".join(f"{spread(column, 1 if column[0] < 1000 else 0):>22}" for column in columns))
    say(json.dumps(summary(results, before) | {"events": count, "users": users, "runs": runs}))


def summary(results: list[dict[str, Figures]], before: float) -> dict[str, object]:
    """Medians and ranges by the names that others read."""
    wanted = {
        "cpu_us_per_event": ("carillon", "cpu_us"),
        "steady_us_per_event": ("carillon", "steady_us"),
        "wall_per_s": ("carillon", "wall_per_s"),
        "rss_mb": ("carillon", "rss_mb"),
        "recovery_s": ("carillon", "recovery_s"),
        "plain_us_per_event": ("plain lean", "cpu_us"),
        "plain_like_us_per_event": ("plain like", "cpu_us"),
        "stock_faust_us_per_event": ("stock Faust", "cpu_us"),
    }
    found: dict[str, object] = {"load_before": round(before, 2), "load_after": round(load(), 2)}
    for name, (peer, field) in wanted.items():
        values = sorted(getattr(run[peer], field) for run in results)
        found[name] = round(values[len(values) // 2], 2)
        found[f"{name}_range"] = [round(values[0], 2), round(values[-1], 2)]
    return found


if __name__ == "__main__":
    main()
