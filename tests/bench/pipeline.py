"""The whole path on one machine: how much it sustains, and how soon a provider is called. `make bench-pipeline`.

    python tests/bench/pipeline.py                 search the capacity, then measure at 70 % of it
    python tests/bench/pipeline.py RATE=1500 SECONDS=60     measure at this rate alone
    python tests/bench/pipeline.py WORKERS=2                 two processes a lane instead of one
    python tests/bench/pipeline.py AS=pipeline-again-1       kept beside the first, to tell how far runs differ

Broker, DynamoDB Local, S3, sandbox (a provider answers after 60 ms, p99 150) and generator share the machine with the
workers: one process a lane with its five flows, and one for record, as shipped. 10 % OTP, 50 % transactional, 10 %
billing, 30 % marketing; a third each asks for sms, email and best (push).

Open loop: event i is due at start + i / rate, and its wait counts from there to the sandbox's having read the call, so
a stall of the generator is charged too. The capacity is found by raising the rate by 500/s until the providers fall
more than half a second behind and further behind at the end of a step than in its middle; a rate counts as sustained
when it then holds for 30 s. Percentiles are exact, over every call. Sums at the end: one decision for every input, one
end for every delivery, one row for every notification.
"""

import time

from lane import Lanes
from measure import BenchError, cpu_s, distribution, percentile, rss_mb, say, threads_s
from processes import Phase, Worker
from results import Result
from rig import Rig
from sums import Sums

from deploy.local.results import option
from deploy.local.stack import PARTS
from flows import roster
from schemas.vocabulary import Lane

STEP = 500
STEP_S = 8
CONFIRM_S = 30
WARM_UP_S = 40
"""Until the virtual machines of broker and store have compiled what is hot; on two cores they take one for that."""
BEHIND_S = 0.5
WARM_S = 3.0


class Pipeline:
    """The path and its load."""

    def __init__(self, rig: Rig, users: int, a_lane: int = 1) -> None:
        self.rig, self.users = rig, users
        self.lanes = Lanes(rig, users)
        self.workers: dict[str, Worker] = {
            f"{lane}{number or ''}": rig.worker(f"{lane}{number or ''}", roster.of_lane(lane))
            for lane in Lane
            for number in range(a_lane)
        }
        self.workers["record"] = rig.worker("record", ["record", "record.preferences"])
        for worker in self.workers.values():
            worker.start()
        for worker in self.workers.values():
            worker.wait_ready()
        self.rig.until(lambda: self.rig.committed("carillon-record", "preferences") >= users, 120, "the preferences")

    def behind_s(self, phase: Phase, before: int) -> float:
        """Seconds of load that the providers have not heard of yet; routing suppresses one event in 45."""
        due = min(phase.events, int(phase.rate * (time.time() - phase.start))) * 44 / 45
        return (due - (self.lanes.called() - before)) / phase.rate

    def holds(self, name: str, rate: int, seconds: int) -> bool:
        """Load for a while: whether the providers keep up. Drained when it returns."""
        before = self.lanes.called()
        phase = self.rig.load(name, rate, seconds, self.users, "all")
        phase.sleep_until(seconds / 2)
        middle = self.behind_s(phase, before)
        phase.sleep_until(seconds)
        end = self.behind_s(phase, before)
        self.check()
        late = phase.finish()["late_ms"]
        drained = self.lanes.drain(phase.start + seconds)
        held = end <= BEHIND_S or end <= middle
        say(
            f"  {rate}/s for {seconds} s: {middle:.2f} s behind in the middle, {end:.2f} s at the end; "
            f"statuses drained after {drained:.1f} s; generator {late:.0f} ms late; {'holds' if held else 'too much'}"
        )
        return held

    def check(self) -> None:
        """Raise if a process has ended."""
        self.rig.stack.check()
        for worker in self.workers.values():
            worker.check()

    def capacity(self, first: int) -> int:
        """The highest rate that holds for 30 s, to within 250/s. Raises BenchError when even the lowest does not."""
        self.holds("warm", first // 2, WARM_UP_S)
        rate = first
        while self.holds(f"up{rate}", rate, STEP_S):
            rate += STEP
        rate -= STEP // 2
        while rate > 0:
            if self.holds(f"confirm{rate}", rate, CONFIRM_S):
                return rate
            rate -= STEP // 2
        raise BenchError("no rate was sustained")

    def pids(self) -> dict[str, int]:
        """Every process of the machine that takes part."""
        return {name: worker.pid for name, worker in self.workers.items()} | {
            str(part): pid for part, pid in self.rig.stack.pids().items()
        }

    def measure(self, rate: int, seconds: int) -> dict[str, object]:
        """The wait from due to the call, and the cost of a notification, at a rate."""
        phase = self.rig.load(f"at{rate}", rate, seconds, self.users, "all")
        phase.sleep_until(WARM_S)
        before = {name: cpu_s(pid) for name, pid in self.pids().items()}
        inner = {name: threads_s(worker.pid) for name, worker in self.workers.items()}
        phase.sleep_until(seconds)
        events = rate * (seconds - WARM_S)
        spent = {name: (cpu_s(pid) - before[name]) / events * 1e6 for name, pid in self.pids().items()}
        statuses_behind = self.lanes.behind()
        generator = phase.finish()
        spent["generator"] = generator["cpu_s"] / phase.events * 1e6
        for name, worker in self.workers.items():
            after = threads_s(worker.pid)
            parts = {t: (cpu - inner[name].get(t, 0)) / events * 1e6 for t, cpu in after.items()}
            told = ", ".join(
                f"{thread} {us:.0f}" for thread, us in sorted(parts.items(), key=lambda p: -p[1]) if us > 1
            )
            say(f"  {name}: {spent[name]:.0f} us a notification ({told}), {rss_mb(worker.pid):.0f} MB")
        drained = self.lanes.drain(phase.start + seconds)
        calls = self.lanes.calls([phase], "all")
        waits = calls.waits
        found = {f"p{name}_ms": round(percentile(waits, share) * 1000, 1) for name, share in _SHARES.items()}
        return (
            found
            | {
                "at_rate": rate,
                "max_ms": round(waits[-1] * 1000, 1),
                "distribution": distribution([wait * 1000 for wait in waits]),
                "calls": len(waits),
                "lost": calls.missing,
                "called_twice": calls.repeated,
                "statuses_behind": statuses_behind,
                "statuses_drained_s": round(drained, 1),
                "generator_late_ms": generator["late_ms"],
                "cpu_us": {name: round(us) for name, us in spent.items() if us >= 1},
            }
            | self.cost(spent)
        )

    def cost(self, spent: dict[str, float]) -> dict[str, float]:
        """What larger loads take in cores at this cost of a notification: of our processes, and of the broker."""
        ours, broker = sum(us for name, us in spent.items() if name in self.workers), spent["kafka"]
        return {
            f"{whose}_cores_at_{name}": round(us * rate / 1e6, 1)
            for name, rate in {"10k_per_s": 10_000, "100m_a_day": 100e6 / 86_400}.items()
            for whose, us in {"worker": ours, "broker": broker}.items()
        }


_SHARES = {"50": 0.5, "99": 0.99, "999": 0.999}


def main() -> None:
    """Search, measure, close the sums; the figures as JSON in the last line."""
    rate, seconds, users = option("RATE", 0), option("SECONDS", 60), option("USERS", 20_000)
    result, sustained = Result("pipeline"), 0
    with Rig(PARTS) as rig:
        path = Pipeline(rig, users, option("WORKERS", 1))
        if not rate:
            sustained = path.capacity(option("FROM", 1000))
            rate = sustained * 7 // 10
        say(f"at {rate}/s for {seconds} s")
        found = path.measure(rate, seconds)
        sums = Sums(rig, path.lanes)
        say(str(sums))
        result.save({"sustained_per_s": sustained} | found | {"sums_close": sums.close})


if __name__ == "__main__":
    main()
