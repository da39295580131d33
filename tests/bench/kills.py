"""What each peer loses and repeats when its worker is killed under load. `make bench-kills`.

    python tests/bench/kills.py EVENTS=100000 USERS=20000 KILLS=12 PEERS=all SEED=1

A peer at a time, each on a broker of its own. It reads the preferences first. Then the same events (some are repeats
of earlier ones) come in KILLS + 1 portions of equal size at RATE a second. In each but the last, a while after the peer
is seen to write (between a tenth and nine tenths of the time that the portion takes, drawn from SEED), its process is
killed with -9 and started again at once, under its static id and with its state folder. The next portion comes when it
has been seen to write again; `back_s` is the time from the start of the process to its first delivery. A peer that is
not back within BACK seconds is given up there, and its figures say after how many kills. At the end it may drain.

Then its deliveries, by (user, key, channel, address, params), against an independent pass over the input:
lost         deliveries that never came
wrong        deliveries that should not be
twice        deliveries written more than once for the same input record: a replay
let_through  requests that a record other than their first was decided to deliver: a repeat taken for something new
Every other decision is the peer's own affair. The two Fausts get a fifth of the events, at a fifth of the rate.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from threading import Thread
from typing import Any

import msgspec
from measure import BenchError, load, say
from outputs import Watch, contents, deliveries, topics
from peer import SNAPSHOT_S, Peer, chosen, tell_preferences
from processes import Worker
from results import Result
from rig import Rig, producer
from workload import Contents, Event, backlog, expected

from deploy.local.results import option, text
from schemas.topics import notifications
from schemas.vocabulary import Lane

_INPUT = notifications(Lane.HIGH).name
_DRAIN_S = 240.0


class _Key(msgspec.Struct, gc=False):
    idempotency_key: str


_key = msgspec.json.Decoder(_Key).decode


class Upstream:
    """Writes events, a portion at a time, in the background."""

    def __init__(self, brokers: str, events: Iterator[Event], rate: float) -> None:
        self._writer, self._events, self._rate = producer(brokers, linger_ms=2.0), events, rate
        self._thread: Thread | None = None

    def portion(self, count: int) -> None:
        """Begin the next portion."""
        self.join()
        self._thread = Thread(target=self._write, args=(list(islice(self._events, count)),), daemon=True)
        self._thread.start()

    def _write(self, events: list[Event]) -> None:
        began = time.monotonic()
        for number, event in enumerate(events):
            ahead = number / self._rate - (time.monotonic() - began)
            if ahead > 0.001:
                self._writer.poll(0)
                time.sleep(ahead)
            self._writer.produce(_INPUT, event.body, event.user)
        if self._writer.flush(60):
            raise TimeoutError("the events were not written within 60 s")

    def join(self) -> None:
        """Wait until the portion is durable."""
        if self._thread is not None:
            self._thread.join()


class Run:
    """One peer under its kills."""

    def __init__(self, rig: Rig, peer: Peer, count: int, users: int, rate: float, back_s: float) -> None:
        self.rig, self.peer, self.count, self.users, self.rate, self.back_s = rig, peer, count, users, rate, back_s
        peer.make(rig)
        self.worker: Worker = peer.worker(rig, _INPUT)
        self.killed, self.backs = 0, list[float]()

    def learn(self) -> None:
        """The preferences are read, by a start that goes on."""
        tell_preferences(self.rig, self.peer.people, self.users)
        self.peer.learn(self.rig, self.worker)

    def hurt(self, kills: int, draw: random.Random) -> bool:
        """The portions and the kills; whether it came back from each."""
        portion = self.count // (kills + 1)
        upstream = Upstream(self.rig.brokers, backlog(self.count, self.users), self.rate)
        watch = Watch(self.rig, topics(self.peer))
        upstream.portion(portion)
        self.works(watch)
        for _ in range(kills):
            time.sleep(draw.uniform(0.1, 0.9) * portion / self.rate)
            self.worker.kill()
            self.killed += 1
            watch = Watch(self.rig, topics(self.peer))
            self.worker.start()
            upstream.join()
            if not self.works(watch):
                return False
            upstream.portion(portion)
        upstream.portion(self.count)
        upstream.join()
        return True

    def works(self, watch: Watch) -> bool:
        """Wait until it is seen to write, or has nothing left to do; whether it was in time."""
        began = self.worker.began
        try:
            while True:
                for message in watch.poll():
                    # What its killed process had sent may still be on its way.
                    if (after := message.timestamp()[1] / 1000 - began) > 0:
                        self.backs.append(after)
                        return True
                self.worker.check()
                if self.peer.commits and self.behind() <= 0:
                    return True
                if time.time() - began > self.back_s:
                    return False
        finally:
            watch.close()

    def behind(self) -> int:
        """Events that it has not committed."""
        return self.rig.end(_INPUT) - self.rig.committed(self.peer.group, _INPUT)

    def drain(self) -> None:
        """Wait until it has nothing left to do. Raises BenchError when that takes too long."""
        last, since = -1, time.time()

        def quiet() -> bool:
            nonlocal last, since
            written = sum(self.rig.end(topic) for topic in topics(self.peer))
            if written != last:
                last, since = written, time.time()
            return time.time() - since > SNAPSHOT_S

        done: Callable[[], bool] = (lambda: self.behind() <= 0) if self.peer.commits else quiet
        self.rig.until(done, _DRAIN_S, f"{self.peer.name} at the end of its input")
        time.sleep(1.0)  # what it wrote beside its commit

    def count_up(self) -> dict[str, Any]:
        """Hold what it wrote against the input."""
        rig, wanted = self.rig, expected(self.count, self.users)
        first: dict[str, tuple[int, int]] = {}
        for message in rig.read(_INPUT):
            place = message.offset(), message.timestamp()[1]
            key = _key(message.value() or b"").idempotency_key
            first[key] = min(first.get(key, place), place)
        found: dict[Contents, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for routed, _ in deliveries(rig, self.peer):
            found[contents(routed, self.peer, rig.ring)][routed.accepted_ms] += 1
        return {
            "deliveries": len(wanted),
            "lost": len(wanted - found.keys()),
            "wrong": len(found.keys() - wanted),
            "twice": sum(max(times.values()) > 1 for times in found.values()),
            "written_again": sum(sum(times.values()) - len(times) for times in found.values()),
            "let_through": sum(any(at != first[made.key][1] for at in times) for made, times in found.items()),
        }


def once(peer: Peer, count: int, users: int, kills: int, rate: float, back_s: float, seed: int) -> dict[str, Any]:
    """One peer: its figures."""
    before = load()
    with Rig() as rig:
        run = Run(rig, peer, count, users, rate, back_s)
        run.learn()
        whole = run.hurt(kills, random.Random(f"{seed}:kills"))
        trouble = "" if whole else f"not back within {back_s:.0f} s of kill {run.killed}"
        try:
            run.drain()
        except BenchError as error:
            trouble = trouble or str(error)
        found = run.count_up() if whole else {}
        backs = sorted(run.backs[1:]) or [0.0]
        return {
            "peer": peer.name,
            "events": count,
            "kills": run.killed,
            **found,
            "back_s": round(backs[len(backs) // 2], 2),
            "back_s_range": [round(backs[0], 2), round(backs[-1], 2)],
            "trouble": trouble,
            "load_before": round(before, 2),
            "load_after": round(load(), 2),
        }


def main() -> None:
    """Every peer, one line each, and all of it as JSON in the last line."""
    count, users, kills = option("EVENTS", 100_000), option("USERS", 20_000), option("KILLS", 12)
    rate, back_s, seed = option("RATE", 4000), option("BACK", 60), option("SEED", 1)
    result, rows = Result("kills"), []
    for peer in chosen(text("PEERS", "all")):
        try:
            share = peer.share
            row = once(peer, count // share, users // share, kills, rate / share, back_s, seed)
        except BenchError as error:
            row = {"peer": peer.name, "trouble": str(error)}
        say("  ".join(f"{name} {value}" for name, value in row.items() if value != ""))
        rows.append(row)
        result.keep({"peers": rows})
    result.save({"kills": kills, "rate": rate, "seed": seed, "peers": rows})


if __name__ == "__main__":
    main()
