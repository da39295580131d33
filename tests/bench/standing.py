"""How long the high lane stands still when its worker is killed and started again under its id. `make bench-stand`.

    python tests/bench/standing.py RATE=200 KILLS=5

One process hosts all flows of the high lane; a steady stream goes through it to the sandbox. It is killed with -9 and
started again at once (a supervisor's own wait comes on top), with its state folder and its id, so as a static member.
A gap is the longest time without an output around a kill: at the channel topics (append times, what routing wrote) and
at the providers (the sandbox's ledger, what the whole lane did). Medians over the kills. A call that was announced and
cut off by a kill ends as unknown, and unless it is an OTP it is not made again: `not_called` must not exceed those.
"""

import json
import statistics
import time
from collections.abc import Iterable
from itertools import pairwise

from lane import Lanes
from measure import load, say, spread
from rig import Rig
from sums import Sums

from deploy.local.results import option
from deploy.local.stack import PARTS
from flows import roster
from schemas.channels import CHANNELS
from schemas.vocabulary import Lane, Step

APART_S = 15.0
"""From one kill to the next."""
_FIRST_S = 5.0


def gaps(times: Iterable[float], kills: Iterable[float]) -> list[float]:
    """The longest gap between neighbours that overlaps the time after each kill (seconds)."""
    ordered = sorted(times)
    return [max(b - a for a, b in pairwise(ordered) if b > kill and a < kill + APART_S - 1) for kill in kills]


def main() -> None:
    """Kill, measure, print, and the medians as JSON in the last line."""
    rate, count, users, before = option("RATE", 200), option("KILLS", 5), option("USERS", 5000), load()
    with Rig(PARTS) as rig:
        lanes = Lanes(rig, users)
        worker = rig.worker("high", roster.of_lane(Lane.HIGH)).start()
        worker.wait_ready()
        phase = rig.load("s", rate, _FIRST_S + APART_S * count, users, "high")
        kills, ready = [], []
        for number in range(count):
            phase.sleep_until(_FIRST_S + APART_S * number)
            kills.append(time.time())
            worker.kill()
            ready.append(worker.start().wait_ready())
        phase.finish()
        lanes.drain(phase.start + phase.seconds, statuses=False)
        routed = gaps(
            (m.timestamp()[1] / 1000 for channel in CHANNELS for m in rig.read(f"{channel}_notifications.high")), kills
        )
        called = gaps((row["t"] for row in lanes.ledger()), kills)
        calls, ends = lanes.calls([phase], "high"), Sums(rig, lanes).ends
    say(f"{rate}/s, {count} kills; ready again {spread(ready, 2)} s after its start")
    say(f"routing stood still {spread(routed, 2)} s, the providers heard nothing for {spread(called, 2)} s")
    say(json.dumps({
        "route_gap_s": round(statistics.median(routed), 2),
        "route_gap_s_range": [round(min(routed), 2), round(max(routed), 2)],
        "call_gap_s": round(statistics.median(called), 2),
        "call_gap_s_range": [round(min(called), 2), round(max(called), 2)],
        "ready_s": round(statistics.median(ready), 2),
        "not_called": calls.missing,
        "ended_unknown": ends[Step.UNKNOWN],
        "called_twice": calls.repeated,
        "load_before": round(before, 2),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
