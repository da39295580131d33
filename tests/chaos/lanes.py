"""Is the high lane deaf to an import of people and to a marketing blast, and does an opt-out overtake the blast?

    make chaos-lanes [BACKLOG=1000000] [SECONDS=60] [QUIET=15] [RATE=50] [WATCHED=10] [P99_MS=150] [PEOPLE=50000]

PEOPLE new users are written within five seconds while OTPs come at RATE a second. Then a backlog of marketing drains
through low-lane workers while OTPs come and, one after another, WATCHED users opt out who were called a moment ago and
have more waiting in it. Read from the sandbox's ledger: the last call to each of them after the acknowledgement of the
opt-out, and the time of each OTP from due to read, before the import, during it, and during the blast. A JSON summary
is the last line on stdout; exit code 1 if a call came over 2 s after an opt-out, an OTP was lost, or its p99 in the
import or the blast is over P99_MS.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from threading import Thread
from typing import Any

from audit import Audit, report
from confluent_kafka import Producer
from harness import Rig, log
from traffic import TENANT, Upstream, Written, user, write_people
from victims import ChaosError

from deploy.local.results import option
from schemas.keys import notification_id
from schemas.vocabulary import Lane

IN_FORCE_S = 2.0
PATIENCE_S = 20.0
IMPORT_S = 5
CALL_MS = 20
USERS = 5_000
HIGH = ("route.high", "deliver.push.high", "deliver.sms.high", "deliver.email.high", "retry.high")
LOW = tuple(flow.replace("high", "low") for flow in HIGH)


def phone(watched: int) -> str:
    """The number of a watched user, which nobody else has."""
    return f"+4916{watched:08d}"


def preference(watched: int, *, out: bool) -> bytes:
    """The preference of a watched user, before and after opting out of everything."""
    addresses = [{"channel": "sms", "address": phone(watched)}]
    person = {"tenant": TENANT, "user_id": f"watched-{watched}", "version": 1 + out, "addresses": addresses}
    return json.dumps(person | {"opt_outs": [{"channel": "*", "category": "*", "out": True}] if out else []}).encode()


def request(user_id: str, key: str, kind: str, channel: str) -> bytes:
    """A sound request."""
    asked = {"tenant": TENANT, "user_id": user_id, "idempotency_key": key, "class": kind, "category": "news"}
    return json.dumps(asked | {"channels": channel, "template_id": "code", "params": {"code": key}}).encode()


class Stream(Thread):
    """OTPs on a fixed schedule: one that is sent late is late, whatever held it up."""

    def __init__(self, producer: Producer, name: str, rate: int, seconds: float) -> None:
        super().__init__(name=name, daemon=True)
        self._producer, self._rate, self._count = producer, rate, int(rate * seconds)
        self.due: dict[str, float] = {}
        """Epoch seconds at which each notification was to be sent."""

    def run(self) -> None:
        """Send them all."""
        began = time.time() + 0.1
        for number in range(self._count):
            due, person, key = began + number / self._rate, user(number % USERS), f"{self.name}-{number}"
            time.sleep(max(0.0, due - time.time()))
            self._producer.produce("notifications.high", request(person, key, "otp", "sms"), person.encode())
            self._producer.poll(0)
            self.due[notification_id(TENANT, Lane.HIGH, person, key)] = due
        self._producer.flush(30)


def blast(producer: Producer, count: int, watched: int) -> None:
    """The backlog: every twentieth message is for a watched user, by SMS; the others by SMS or email."""
    for number in range(count):
        if number % 20 == 0:
            person, channel = f"watched-{number // 20 % watched}", "sms"
        else:
            person, channel = user(number % USERS), ("sms", "email")[number % 2]
        producer.produce("notifications.low", request(person, f"m-{number}", "marketing", channel), person.encode())
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(300):
        raise ChaosError("the broker did not take the backlog within 300 s")


def newcomers(count: int) -> Iterator[Written]:
    """New users, as they are imported."""
    for number in range(count):
        name = f"imported-{number}"
        person = {"tenant": TENANT, "user_id": name, "version": 1}
        person["addresses"] = [{"channel": "email", "address": f"{name}@example.org"}]
        yield "preferences", name.encode(), json.dumps(person).encode(), -1


class Watch:
    """Follows the ledger: when each watched user was last called."""

    def __init__(self, rig: Rig, count: int) -> None:
        self._rig, self._rows = rig, 0
        self.left = set(range(count))
        """Who has not yet opted out."""
        self._numbers = {sha256(phone(number).encode()).hexdigest(): number for number in range(count)}
        self._called: dict[int, float] = {}

    def next(self) -> int:
        """The user of those left who was called last, within the last second: one whose opt-out will be felt."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            rows = self._rig.ledger(self._rows)
            self._rows += len(rows)
            self._called |= {self._numbers[row["to_hash"]]: row["t"] for row in rows if row["to_hash"] in self._numbers}
            at, number = max(((self._called.get(number, 0.0), number) for number in self.left), default=(0.0, -1))
            if time.time() - at < 1.0:
                self.left.remove(number)
                return number
            time.sleep(0.2)
        raise ChaosError(
            f"no watched user was called for {PATIENCE_S:.0f} s: is the backlog gone? Give a larger BACKLOG"
        )


def opt_out(producer: Producer, watched: int) -> float:
    """Opt a watched user out of everything; returns when that was acknowledged (epoch seconds)."""
    acked: list[float] = []
    person = f"watched-{watched}"
    producer.produce(
        "preferences", preference(watched, out=True), person.encode(), on_delivery=lambda *_: acked.append(time.time())
    )
    producer.flush(10)
    return acked[0]


def waiting(rig: Rig) -> dict[str, int]:
    """Low-lane records that still wait to be routed, and to be delivered by SMS."""
    reads = {"route.low": ["notifications.low"], "deliver.sms.low": ["sms_notifications.low"]}
    found: dict[str, int] = defaultdict(int)
    for (flow, _, _), (committed, end) in rig.lag(reads).items():
        found[flow] += end - max(0, committed)
    return dict(found)


def run(backlog: int, seconds: int, quiet_s: int, rate: int, watched: int, p99_ms: int, people: int) -> Audit:
    """The whole run and what came of it."""
    with Rig(("kafka", "s3", "sandbox"), large=backlog > 100_000) as rig:
        rig.behave({"latency_ms": CALL_MS})
        writer, prompt = rig.producer(), rig.producer(linger_ms=0)
        write_people(writer, USERS)
        writer.flush(30)
        for number in range(2 * watched):  # by the other, whose first record waits a second for its producer id
            prompt.produce("preferences", preference(number, out=False), f"watched-{number}".encode())
        prompt.flush(30)
        rig.worker("high", *HIGH).wait_ready()
        quiet = Stream(prompt, "quiet", rate, quiet_s)
        quiet.start()
        quiet.join()
        imported = Stream(prompt, "imported", rate, 2 * IMPORT_S)
        imported.start()
        Upstream(writer, newcomers(people), 0, people / IMPORT_S).start()
        imported.join()
        began = time.monotonic()
        blast(writer, backlog, 2 * watched)
        log(f"{backlog} marketing messages wait after {time.monotonic() - began:.0f} s")
        rig.worker("low", *LOW).wait_ready()
        busy = Stream(prompt, "busy", rate, seconds)
        busy.start()
        time.sleep(seconds / 4)
        before, acked, watch = waiting(rig), {}, Watch(rig, 2 * watched)
        for _ in range(watched):
            number = watch.next()
            acked[number] = opt_out(prompt, number)
            time.sleep(max(0.5, seconds / 2 / watched))
        busy.join()
        time.sleep(IN_FORCE_S + 1.0)
        after = waiting(rig)
        for worker in rig.workers:
            worker.check()
        rows = rig.ledger()
    result = Audit()
    result.figures |= {
        "people": people,
        "backlog": backlog,
        "waiting_at_first_opt_out": before,
        "waiting_at_the_end": after,
    }
    _opt_outs(result, rows, acked, after)
    _latency(result, rows, {"quiet": quiet, "imported": imported, "busy": busy}, p99_ms)
    return result


def _opt_outs(result: Audit, rows: list[dict[str, Any]], acked: dict[int, float], waits: dict[str, int]) -> None:
    numbers = {sha256(phone(number).encode()).hexdigest(): number for number in acked}
    calls: dict[int, list[float]] = {number: [] for number in acked}
    for row in rows:
        if row["to_hash"] in numbers:
            number = numbers[row["to_hash"]]
            calls[number].append(row["t"] - acked[number])
    lasts = [round(max(found), 3) for found in calls.values()]
    before = sum(-3 < at <= 0 for found in calls.values() for at in found)
    result.figures["last_call_after_opt_out_s"] = {"each": lasts, "worst": max(lasts)}
    result.figures["calls_a_s_of_each_before"] = round(before / 3 / len(acked), 1)
    result.expect_none("called_after_opt_out", (at for at in lasts if at > IN_FORCE_S))
    result.expect_none("backlog_gone_too_soon", [] if waits.get("deliver.sms.low") else [waits])


def _latency(result: Audit, rows: list[dict[str, Any]], streams: dict[str, Stream], p99_ms: int) -> None:
    called: dict[str, float] = {}
    for row in rows:
        called.setdefault(row["ref"].split(".")[0], row["t"])
    for name, stream in streams.items():
        took = sorted((called[id_] - due) * 1000 for id_, due in stream.due.items() if id_ in called)
        figures = {
            f"p{share:g}": round(took[min(len(took) - 1, int(len(took) * share / 100))], 1) for share in (50, 99, 99.9)
        }
        result.figures[f"otp_{name}_ms"] = figures | {"worst": round(took[-1], 1), "count": len(took)}
        result.expect_none(f"otp_{name}_lost", set(stream.due) - set(called))
    found = [result.figures[f"otp_{name}_ms"]["p99"] for name in ("imported", "busy")]
    result.expect_none("otp_p99_over_limit", [p99 for p99 in found if p99 > p99_ms])


def main() -> int:
    """One run; returns the exit code."""
    wishes = {
        "BACKLOG": 1_000_000,
        "SECONDS": 60,
        "QUIET": 15,
        "RATE": 50,
        "WATCHED": 10,
        "P99_MS": 150,
        "PEOPLE": 50_000,
    }
    return report("lanes", lambda: run(*(option(name, default) for name, default in wishes.items())))


if __name__ == "__main__":
    sys.exit(main())
