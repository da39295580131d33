"""The routing stage on a backlog, as shipped, and its peers on the same broker in the same run.

    make bench-peers EVENTS=500000 USERS=100000 RUNS=3 PEERS=all
    make bench-route                                            the quick form: Carillon, the plain loop, stock Faust

Each run has a broker of its own (fresh, one node, replication 1) and takes every peer in turn, the order changing:

1. The preferences are written; each peer is started, commits them, and is stopped with SIGTERM (plain reads them at
   every start instead).
2. The events are written, and the plain loop goes over them once, uncounted: no peer pays for a broker whose code is
   not compiled yet.
3. Each peer is started and measured from when it says that it is ready to its commit of the last event (Bytewax, which
   commits nothing in Kafka: to its last output).
4. What it wrote is opened and held against an independent pass over the input: (user, key, channel, address, params).
   Figures of a peer that lost or made up a delivery do not count; stock Faust's do, and it is told. Where a peer
   writes decision records there must be one for every input.
5. It is killed with -9, its state folder removed (not Bytewax's, which has nothing else), an event for each partition
   written, and it is started again under its id: `recovery_s` from the start of the process to the append of the last
   of their deliveries.

The two Fausts have a fifth of the events and users. CPU is user + system of the worker with all its threads; `steady`
the same between half and nine tenths of the way, when a virtual machine is warm. Wall rates end with the append of the
last output; `again` counts what was written twice.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain

from measure import BenchError, Sample, load, rss_mb, say, spread, steady
from outputs import Verdict, Watch, judge, topics, untold
from peer import PEERS, START_S, Peer, chosen, tell_preferences
from processes import Worker
from results import Result
from rig import Rig
from workload import backlog, expected, fill, probes

from deploy.local.results import option, text
from schemas.topics import Topic, notifications
from schemas.vocabulary import Lane

QUICK = "carillon,plain lean,plain like,faust stock"
_INPUT = notifications(Lane.HIGH).name
_ROUTE_S = 900.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One peer, one run."""

    cpu_us: float
    steady_us: float
    wall_per_s: float
    rss_mb: float
    again: int
    lost: int
    recovery_s: float


def events_of(peer: Peer) -> str:
    """The topic that a peer routes from."""
    return _INPUT if peer.share == 1 else f"share-{peer.share}.{_INPUT}"


class Run:
    """One run: a broker, the events, each peer."""

    def __init__(self, rig: Rig, peers: Sequence[Peer], count: int, users: int) -> None:
        self.rig, self.peers, self.count, self.users = rig, peers, count, users
        self.workers: dict[str, Worker] = {}
        self.probes: Counter[int] = Counter()

    def prepare(self) -> None:
        """Write the preferences, have everyone commit them, write the events, and warm the broker up on them."""
        rig = self.rig
        warm = Peer("warm", "lean", PEERS["plain lean"].command, topics=("changelog",))
        for topic, share in {one.people: one.share for one in (warm, *self.peers)}.items():
            tell_preferences(rig, topic, self.users // share)
        rig.make([Topic(topic, "", None, append_time=True) for topic in set(map(events_of, self.peers)) - {_INPUT}])
        for peer in self.peers:
            peer.make(rig)
            self.workers[peer.name] = worker = peer.worker(rig, events_of(peer))
            if peer.learns:
                peer.learn(rig, worker)
                worker.stop()
                say(f"  {peer.name}: {rig.end(peer.people)} preferences read")
        for topic, share in {events_of(one): one.share for one in (warm, *self.peers)}.items():
            fill(rig.brokers, topic, ((e.user, e.body) for e in backlog(self.count // share, self.users // share)))
        warm.make(rig)
        worker = warm.worker(rig, _INPUT).start()
        worker.wait_ready()
        rig.follow(worker, lambda: rig.committed(warm.group, _INPUT), rig.end(_INPUT), _ROUTE_S)
        worker.kill()

    def done(self, peer: Peer) -> int:
        """How many events a peer has behind it."""
        if peer.commits:
            return self.rig.committed(peer.group, events_of(peer))
        wanted = len(expected(self.count // peer.share, self.users // peer.share)) + self.probes[peer.share]
        written = sum(self.rig.end(topic) for topic in topics(peer))
        return self.rig.end(events_of(peer)) * min(written, wanted) // wanted

    def measure(self, peer: Peer) -> Figures:
        """One peer on its backlog, then its recovery. Raises BenchError when it did not do its work."""
        rig, worker = self.rig, self.workers[peer.name]
        worker.start().wait_ready(START_S)
        samples, at = rig.follow(worker, lambda: self.done(peer), rig.end(events_of(peer)), _ROUTE_S), time.time()
        memory = rss_mb(worker.pid)
        verdict = judge(rig, peer, expected(self.count // peer.share, self.users // peer.share))
        self.accept(peer, verdict)
        return figures(samples, min(at, verdict.last), memory, verdict, self.recover(peer, worker))

    def accept(self, peer: Peer, verdict: Verdict) -> None:
        """Raise BenchError when a peer's outputs are not what they must be; say so when stock Faust's are not."""
        silent = untold(self.rig, peer, events_of(peer)) if peer.told else 0
        if verdict.clean and not silent:
            return
        words = f"{peer.name}: {verdict.lost} lost, {verdict.wrong} wrong, {silent} inputs without a decision"
        if not peer.kind.startswith("faust"):
            raise BenchError(words)
        say(f"  {words}")

    def recover(self, peer: Peer, worker: Worker) -> float:
        """Seconds from the start of the process to the last of the probes' deliveries, its state wiped."""
        worker.kill()
        if not peer.local:
            worker.wipe()
        asked = probes(peer.name, self.users // peer.share)
        fill(self.rig.brokers, events_of(peer), iter(asked.values()))
        self.probes[peer.share] += len(asked)
        watch = Watch(self.rig, topics(peer))
        worker.start()
        try:
            return watch.await_keys(asked, START_S) - worker.began
        finally:
            watch.close()
            worker.stop()


def figures(samples: list[Sample], last: float, memory: float, verdict: Verdict, recovery: float) -> Figures:
    """What the samples of one peer come to."""
    first, end = samples[0], samples[-1]
    done = end.done - first.done
    cpu = (end.cpu - first.cpu) / done * 1e6
    rate = done / (last - first.at)
    return Figures(cpu, steady(samples), rate, memory, verdict.again, verdict.lost, recovery)


def once(number: int, peers: Sequence[Peer], count: int, users: int) -> dict[str, Figures]:
    """One run over all peers, in an order that turns with the run."""
    with Rig() as rig:
        run = Run(rig, peers, count, users)
        run.prepare()
        found = {}
        turned = number % len(peers)
        for peer in chain(peers[turned:], peers[:turned]):
            before = load()
            found[peer.name] = one = run.measure(peer)
            say(
                f"  {peer.name}: {one.cpu_us:.1f} us/event ({one.steady_us:.1f} steady), {one.wall_per_s:.0f}/s, "
                f"{one.rss_mb:.0f} MB, {one.again} again, recovery {one.recovery_s:.1f} s, load {before:.1f}"
            )
        return found


def main() -> None:
    """Measure, print the table, and the figures as JSON in the last line."""
    count, users, runs = option("EVENTS", 500_000), option("USERS", 100_000), option("RUNS", 3)
    names = text("PEERS", QUICK)
    peers, result = chosen(names), Result("route" if names == QUICK else "peers")
    say(f"{count} events, {users} users, {runs} runs, load {load():.2f}")
    runs_found = []
    for number in range(runs):
        say(f"run {number + 1}")
        runs_found.append(once(number, peers, count, users))
        result.keep(told(runs_found))
    say(f"\n{'':16}" + "".join(f"{field.name:>24}" for field in fields(Figures)))
    for peer in peers:
        columns = [[getattr(run[peer.name], field.name) for run in runs_found] for field in fields(Figures)]
        say(f"{peer.name:16}" + "".join(f"{spread(column, 1 if column[0] < 1000 else 0):>24}" for column in columns))
    result.save(told(runs_found) | {"events": count, "users": users, "runs": runs})


NAMES = {
    "cpu_us_per_event": ("carillon", "cpu_us"),
    "steady_us_per_event": ("carillon", "steady_us"),
    "wall_per_s": ("carillon", "wall_per_s"),
    "rss_mb": ("carillon", "rss_mb"),
    "recovery_s": ("carillon", "recovery_s"),
    "plain_us_per_event": ("plain lean", "cpu_us"),
    "plain_like_us_per_event": ("plain like", "cpu_us"),
    "streams_us_per_event": ("streams like", "cpu_us"),
    "streams_steady_us_per_event": ("streams like", "steady_us"),
    "stock_faust_us_per_event": ("faust stock", "cpu_us"),
}


def summary(runs: list[dict[str, Figures]]) -> dict[str, object]:
    """Medians and ranges by the names that others read, of the peers that took part."""
    found: dict[str, object] = {}
    for name, (peer, field) in NAMES.items():
        if peer in runs[0]:
            values = sorted(getattr(run[peer], field) for run in runs)
            found[name] = round(values[len(values) // 2], 2)
            found[f"{name}_range"] = [round(values[0], 2), round(values[-1], 2)]
    return found


def told(runs: list[dict[str, Figures]]) -> dict[str, object]:
    """What the runs so far come to."""
    return summary(runs) | {"peers": by_peer(runs)}


def by_peer(runs: list[dict[str, Figures]]) -> dict[str, list[dict[str, float]]]:
    """Every figure of every peer, one entry a run."""
    return {
        name: [{field: round(value, 2) for field, value in asdict(run[name]).items()} for run in runs]
        for name in runs[0]
    }


if __name__ == "__main__":
    main()
