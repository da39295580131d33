"""The load client: sends on schedule whatever happens, and keeps the ledger of what was accepted.

    load.py --seed 1 --rate 200 --seconds 60 --users 500 --ledger accepted.jsonl [--plain]

Writes every user's preference, says {"kind": "ready"} on stdout once all are durable, then sends: event i is due at
start + i / rate, and is late, not left out, where something held it up. Meanwhile users change their minds and their
addresses, and a hundredth of what comes is hostile (`hostile.py`), unless the run is --plain. SIGTERM ends it early, in
order; SIGUSR1 asks for ten times as much for 5 s. `accepted.py` says what is in the ledger; later loads add to it.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TextIO

import hostile
from accepted import PATIENCE_S, Entry
from confluent_kafka import KafkaError, Message, Producer
from traffic import STRANGER, TENANT, Written, events, plain_events, preferences, user

CLASSES = {"otp": 0.3, "transactional": 0.3, "billing": 0.2, "marketing": 0.2}
CHANGES = 0.02
"""Changes of a preference for each request."""
NEWCOMERS = 0.5
"""The share of unknown users who make themselves known a little later."""
NEWCOMER_AFTER_S = 2.0
BURST_S = 5.0
OUTAGE_S = 600.0
"""How long a record may wait for a broker that is away."""
_NEVER_SENT = (KafkaError._PURGE_QUEUE, KafkaError._QUEUE_FULL, KafkaError.MSG_SIZE_TOO_LARGE)


class Sender:
    """Writes records and puts each into the ledger once its fate is known."""

    def __init__(self, brokers: str, ledger: TextIO) -> None:
        self._ledger = ledger
        self._producer = Producer({
            "bootstrap.servers": brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 2,
            "message.timeout.ms": int(OUTAGE_S * 1000),
            "queue.buffering.max.messages": 2_000_000,
            "log_level": 2,
        })  # fmt: skip

    def send(self, kind: str, number: int, due: float, record: Written, headers: hostile.Headers | None = None) -> None:
        """Send one record, without waiting for its fate."""
        topic, key, value, partition = record

        def known(error: KafkaError | None, message: Message) -> None:
            result = "ok" if error is None else "fail" if error.code() in _NEVER_SENT else "info"
            place = (message.partition(), message.offset(), message.timestamp()[1] / 1000) if error is None else None
            entry = Entry(kind, number, due, time.time(), result, topic, *(place or (-1, -1, 0.0)), key.decode(), value)
            self._ledger.write(entry.line())

        self._producer.produce(topic, value, key, partition, on_delivery=known, headers=headers)

    def turn(self, seconds: float = 0.0) -> None:
        """Hear of fates for so long."""
        self._producer.poll(seconds)

    def finish(self) -> None:
        """Wait until every fate is known; what no broker has taken by then is given up."""
        if self._producer.flush(PATIENCE_S):
            self._producer.purge()
            self._producer.flush(5.0)
        self._ledger.flush()


class People:
    """The users, and how they change: they opt out, opt in again, move to another number or mailbox."""

    def __init__(self, seed: int, users: int) -> None:
        self._draw = random.Random(f"{seed}:changes")
        self._people = list(preferences(seed, users))
        self._moves = 0

    def everybody(self) -> Iterator[Written]:
        """The first preference of each."""
        return (_preference(person) for person in self._people)

    def change(self) -> Written:
        """The next change of somebody."""
        draw = self._draw
        number = draw.randrange(len(self._people))
        person = self._people[number] = deepcopy(self._people[number])
        person["version"] += 1
        outs = person["opt_outs"]
        refused = [choice for choice in outs if choice["out"]]
        if draw.random() < 0.4:
            self._move(person)
        elif refused and draw.random() < 0.6:
            draw.choice(refused)["out"] = False
        else:
            scope = {"channel": draw.choice(("sms", "email", "push", "*")), "category": draw.choice(("news", "*"))}
            person["opt_outs"] = [choice for choice in outs if choice | scope != choice] + [scope | {"out": True}]
        return _preference(person)

    def _move(self, person: dict[str, Any]) -> None:
        self._moves += 1
        address = self._draw.choice(person["addresses"])
        fresh = {"sms": "+4916{:08d}", "email": "moved{}@example.org", "push": "device-moved-{}"}[address["channel"]]
        address["address"] = fresh.format(self._moves)

    def newcomer(self, name: str) -> Written:
        """The first preference of a user nobody knew."""
        self._moves += 1
        addresses = [{"channel": "sms", "address": f"+4917{self._moves:08d}"}]
        return _preference({"tenant": TENANT, "user_id": name, "version": 1, "addresses": addresses, "opt_outs": []})


def _preference(person: Mapping[str, Any]) -> Written:
    return "preferences", person["user_id"].encode(), json.dumps(person).encode(), -1


def _hot(record: Written) -> Written:
    """A sound record, as the busiest user's."""
    topic, key, value, partition = record
    try:
        body = json.loads(value or b"") | {"user_id": user(0)}
    except (ValueError, TypeError):
        return record
    return topic, user(0).encode(), json.dumps(body).encode(), partition


class Schedule:
    """What is sent when, from one start on."""

    def __init__(self, sender: Sender, people: People, seed: int, rate: float, hostile_share: float) -> None:
        self._sender, self._people, self._rate = sender, people, rate
        self._hostile_share, self._hostile = hostile_share, hostile.records(seed)
        self._draw = random.Random(f"{seed}:schedule")
        self._changes = 0
        self._newcomers: list[tuple[float, str]] = []
        self._more = 0
        """Records that are still to come at ten times the rate."""
        self.stopped = False

    def burst(self) -> None:
        """Send ten times as much for some seconds, half of it to one user."""
        self._more = int(10 * self._rate * BURST_S)

    def _apart_s(self) -> float:
        """Seconds until the next record is due."""
        if not self._more:
            return 1 / self._rate
        self._more -= 1
        return 0.1 / self._rate

    def run(self, records: Iterator[Written], start: float, seconds: float) -> None:
        """Send until `seconds` after `start` (epoch), or until told to stop."""
        due = start
        for number, record in enumerate(records):
            while (ahead := due - time.time()) > 0 and not self.stopped:
                self._sender.turn(min(ahead, 0.1))
            if self.stopped or due >= start + seconds:
                return
            self._sender.turn()
            self._send(number, due, _hot(record) if self._more % 2 else record)
            if record[1].startswith(STRANGER.encode()) and self._draw.random() < NEWCOMERS:
                self._newcomers.append((due + NEWCOMER_AFTER_S, record[1].decode()))
            if self._draw.random() < CHANGES:
                self._prefer(self._people.change())
            while self._newcomers and self._newcomers[0][0] <= due:
                self._prefer(self._people.newcomer(self._newcomers.pop(0)[1]))
            due += self._apart_s()

    def _send(self, number: int, due: float, record: Written) -> None:
        """Send a request and, now and then, something hostile with it or beside it."""
        if self._draw.random() < self._hostile_share:
            self._sender.send("hostile", number, due, next(self._hostile))
        strange = hostile.headers(self._draw) if self._draw.random() < self._hostile_share else None
        self._sender.send("request", number, due, record, strange)

    def _prefer(self, record: Written) -> None:
        self._changes += 1
        self._sender.send("preference", self._changes, time.time(), record)


def main() -> int:
    """Send until the time is over or SIGTERM comes."""
    parser = argparse.ArgumentParser()
    for name, kind in (("seed", int), ("rate", float), ("seconds", float), ("users", int), ("ledger", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--plain", action="store_true", help="sound requests and repeats only")
    wish = parser.parse_args()
    with wish.ledger.open("a", buffering=1) as ledger:
        sender, people = Sender(os.environ["CARILLON_KAFKA"], ledger), People(wish.seed, wish.users)
        schedule = Schedule(sender, people, wish.seed, wish.rate, 0.0 if wish.plain else hostile.SHARE)
        signal.signal(signal.SIGTERM, lambda *_: setattr(schedule, "stopped", True))
        signal.signal(signal.SIGUSR1, lambda *_: schedule.burst())
        for number, record in enumerate(people.everybody()):
            sender.send("preference", -1 - number, time.time(), record)
        sender.finish()
        sys.stdout.write('{"kind": "ready"}\n')
        sys.stdout.flush()
        start = time.time() + 0.1
        if wish.plain:
            records = plain_events(wish.seed, wish.users, CLASSES)
        else:
            drawn = events(wish.seed, None, wish.users, CLASSES, lambda number: start + number / wish.rate)
            records = map(hostile.taint, drawn)
        schedule.run(records, start, wish.seconds)
        sender.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
