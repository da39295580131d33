"""Kill delivery workers while their calls are under way, then hold the statuses against the sandbox's own ledger.

    make chaos-deliver [EVENTS=40000] [KILLS=20] [RATE=400] [SEED=1] [KINDS=kill]

The whole path runs; only the three delivery workers are hurt. A JSON summary is the last line on stdout; exit code 1
if a delivery was lost, ended twice, was called again without being flagged, or was called again at all where its class
forbids it. KINDS may also name `term`, `wipe` and `stall`.
"""

import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from audit import Audit, report
from harness import Rig, log
from traffic import TENANT, Upstream, Written, user, write_people
from victims import Worker

from deploy.local.results import option
from schemas.keys import notification_id
from schemas.vocabulary import Lane

CLASSES = {"otp": 0.3, "transactional": 0.3, "billing": 0.2, "marketing": 0.2}
ENDS = {"sent", "unknown", "suppressed", "expired", "dead"}
CALL_MS = 150
IN_FLIGHT = 64
"""Calls under way at a time in one worker, at most: what a kill may leave unknown."""
USERS = 500
DRAIN_S = 200.0
Delivery = tuple[str, str]
"""Notification id and channel: every user here has one address a channel."""


def events(seed: int, count: int) -> tuple[list[Written], dict[str, str]]:
    """Sound requests by SMS in four classes, and the class of each notification id."""
    draw = random.Random(f"{seed}:deliver")
    written, classes = [], {}
    for number in range(count):
        kind = draw.choices(list(CLASSES), list(CLASSES.values()))[0]
        lane = Lane.LOW if kind == "marketing" else Lane.HIGH
        asked = {
            "tenant": TENANT,
            "idempotency_key": f"{seed}-{number}",
            "user_id": user(draw.randrange(USERS)),
            "channels": "sms",
            "category": "orders",
            "class": kind,
            "template_id": "code",
            "params": {"code": str(number)},
        }
        classes[notification_id(TENANT, lane, asked["user_id"], asked["idempotency_key"])] = kind  # type: ignore[arg-type]
        key = str(asked["user_id"]).encode()
        written.append((f"notifications.{lane}", key, json.dumps(asked).encode(), -1))
    return written, classes


def run(seed: int, count: int, kills: int, rate: int, kinds: list[str]) -> Audit:
    """The whole run and what came of it."""
    draw = random.Random(f"{seed}:faults")
    written, classes = events(seed, count)
    with Rig(("kafka", "s3", "sandbox")) as rig:
        rig.behave(CALL_MS)
        write_people(rig.producer(), USERS)
        targets = [rig.worker(f"deliver-{name}", "deliver.sms.high") for name in "ab"]
        targets.append(rig.worker("deliver-low", "deliver.sms.low"))
        rig.worker("path-high", "route.high", "retry.high")
        rig.worker("path-low", "route.low", "retry.low")
        for worker in rig.workers:
            worker.wait_ready()
        upstream = Upstream(rig.producer(), iter(written), min(count // 4, 2 * rate), rate)
        upstream.start()
        hurts = list(_hurt(targets, kills, count / rate, kinds, draw))
        upstream.join()
        flows = [flow for worker in rig.workers for flow in worker.flows]
        drained_s = rig.drain(sorted(set(flows)), DRAIN_S)
        result = _audit(rig, classes, [at for at, kind in hurts if kind != "term"])
    result.figures |= {"seed": seed, "hurts": len(hurts), "drained_s": round(drained_s, 1)}
    return result


def _hurt(
    targets: list[Worker], kills: int, over_s: float, kinds: list[str], draw: random.Random
) -> Iterator[tuple[float, str]]:
    """Hurt a worker that is at work, `kills` times over about `over_s` seconds; gives when and how."""
    for number in range(kills):
        time.sleep(draw.uniform(0.5, 1.5) * over_s / (kills + 1))
        kind, worker = draw.choice(kinds), targets[number % len(targets)]
        log(f"fault {number + 1} of {kills}, {kind} {worker.name}")
        worker.wait_ready()
        at = time.time()
        if kind == "stall":
            worker.stall(8.0)
        elif kind == "term":
            worker.terminate()
        else:
            worker.kill(wipe=kind == "wipe")
        yield at, kind
        if not worker.running:
            worker.start()


def _audit(rig: Rig, classes: dict[str, str], kills: list[float]) -> Audit:
    result = Audit()
    routed, ends, flagged, echoes = _statuses(rig)
    calls = _calls(rig)
    wanted: set[Delivery] = {(id_, "sms") for id_ in classes}
    again = {delivery: rows for delivery, rows in calls.items() if len(rows) > 1}
    after = _by_kill(kills, [rows[0]["t"] for rows in again.values()])
    unknown = {delivery for delivery, found in ends.items() if "unknown" in found}
    dead = {
        (letter["notification_id"], letter["channel"])
        for m in rig.read("notification_dlq")
        for letter in [json.loads(m.value())]
    }
    result.figures |= {
        "events": len(classes),
        "calls": sum(map(len, calls.values())),
        "called_again": sum(len(rows) - 1 for rows in again.values()),
        "called_again_by_class": dict(Counter(classes[id_] for id_, _ in again)),
        "called_again_per_kill_at_most": max(after.values(), default=0),
        "unknown": len(unknown),
        "unknown_never_called": len(unknown - set(calls)),
        "ends": dict(Counter(end for found in ends.values() for end in found)),
        "statuses_told_again": echoes,
    }
    result.expect_none("not_routed_once", (d for d in wanted if routed.get(d[0]) != {1}))
    result.expect_none("not_ended", wanted - set(ends))
    result.expect_none("ended_unasked", set(ends) - wanted)
    result.expect_none("ended_twice", ((d, sorted(found)) for d, found in ends.items() if len(found) > 1))
    result.expect_none("called_unasked", set(calls) - wanted)
    result.expect_none("sent_without_a_call", {d for d, found in ends.items() if "sent" in found} - set(calls))
    result.expect_none("called_but_not_ended_so", (d for d in calls if not ends.get(d, set()) & {"sent", "unknown"}))
    result.expect_none("one_attempt_called_twice", _twice(calls))
    result.expect_none("called_again_unflagged", (d for d in again if d not in flagged and d not in dead))
    result.expect_none("called_again_though_forbidden", (d for d in again if classes[d[0]] != "otp"))
    result.expect_none("unknown_not_buried", unknown - dead)
    result.expect_none("kills_with_too_many_repeats", ((at, n) for at, n in after.items() if n > IN_FLIGHT))
    return result


def _statuses(rig: Rig) -> tuple[dict[str, set[int]], dict[Delivery, set[str]], set[Delivery], int]:
    """Deliveries decided for each notification; ends and flags of each delivery; how many statuses came again."""
    routed, ends, flagged = defaultdict(set), defaultdict(set), set()
    seen: Counter[tuple[Any, ...]] = Counter()
    for message in rig.read("statuses"):
        status = json.loads(message.value())
        id_, step = status["notification_id"], status["step"]
        delivery = (id_, status.get("channel", ""))
        seen[*delivery, step, status.get("attempt"), status["position"]] += 1
        if "channel" not in status:
            routed[id_].add(status.get("deliveries", 0))
        elif step in ENDS:
            ends[delivery].add(step)
        if status.get("possible_duplicate"):
            flagged.add(delivery)
    return routed, ends, flagged, seen.total() - len(seen)


def _calls(rig: Rig) -> dict[Delivery, list[dict[str, Any]]]:
    """The calls of each delivery, as the sandbox read them, in their order."""
    calls = defaultdict(list)
    for row in rig.ledger():
        id_, channel, _round, _attempt = row["ref"].split(".")
        calls[id_, channel].append(row)
    return calls


def _twice(calls: dict[Delivery, list[dict[str, Any]]]) -> list[str]:
    refs = Counter(row["ref"] for rows in calls.values() for row in rows)
    return [ref for ref, times in refs.items() if times > 1]


def _by_kill(kills: list[float], firsts: list[float]) -> Counter[float]:
    """How many repeated deliveries had their first call cut off by each kill: the next one after that call."""
    return Counter(min((at for at in kills if at >= first), default=0.0) for first in firsts)


def main() -> int:
    """One run; returns the exit code."""
    count, kinds = option("EVENTS", 40_000), os.environ.get("KINDS", "kill").split(",")
    return report("deliver", lambda: run(option("SEED", 1), count, option("KILLS", 20), option("RATE", 400), kinds))


if __name__ == "__main__":
    sys.exit(main())
