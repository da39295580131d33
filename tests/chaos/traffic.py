"""What upstream sends: mostly sound requests, and the seven things that go wrong with them."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from confluent_kafka import Producer
from harness import PARTITIONS
from victims import ChaosError

TENANT = "acme"
TOPIC = "notifications.high"
PAST = "2020-01-01T00:00:00+00:00"
HIGH = {"otp": 1.0, "transactional": 1.0, "billing": 1.0}
"""The classes of a run of the high lane alone, each with its weight."""
STRANGER = "nobody-"
"""How the ids of users begin whom nobody knows, or only later."""
CODE, KEY = "pin-", "key-"
"""How codes and idempotency keys begin, so that one found anywhere is no other number."""
OTHER = f"{CODE}other"
_MEMORY = 20_000
Written = tuple[str, bytes, bytes | None, int]
"""Topic, key, value, and the partition the producer chooses (-1: by the key)."""


def user(number: int, seed: int | None = None) -> str:
    """A user's id. Those of a seed are its own, so that several can follow one another on one stack."""
    return f"user-{number}" if seed is None else f"user-{seed}-{number}"


def preferences(seed: int, users: int) -> Iterator[dict[str, Any]]:
    """One preference for each user: one to three channels, some unverified, a fifth with opt-outs."""
    draw = random.Random(f"{seed}:people")
    for number in range(users):
        addresses = [{"channel": "sms", "address": f"+4915{number:08d}"}]
        if draw.random() < 0.7:
            addresses.append({"channel": "email", "address": f"user{number}@example.org"})
        devices = draw.choice((0, 0, 1, 2))
        addresses += [{"channel": "push", "address": f"device-{number}-{device}"} for device in range(devices)]
        if draw.random() < 0.1:
            addresses[0] |= {"verified": False}
        person: dict[str, Any] = {"tenant": TENANT, "user_id": user(number, seed), "version": 1, "addresses": addresses}
        person["opt_outs"] = []
        if draw.random() < 0.3:
            person["preferred"] = draw.sample(("sms", "email", "push"), 2)
        if draw.random() < 0.2:
            where, what = draw.choice(("sms", "email", "*")), draw.choice(("news", "orders", "*"))
            person["opt_outs"].append({"channel": where, "category": what, "out": True})
        yield person


def write_people(producer: Producer, users: int) -> None:
    """Write users who can be reached by SMS and email and have refused nothing."""
    for number in range(users):
        addresses = [{"channel": "sms", "address": f"+4915{number:08d}"}]
        addresses.append({"channel": "email", "address": f"user{number}@example.org"})
        person = {"tenant": TENANT, "user_id": user(number), "version": 1, "addresses": addresses}
        producer.produce("preferences", json.dumps(person).encode(), user(number).encode())
    _flush(producer)


def events(
    seed: int,
    count: int | None,
    users: int,
    classes: Mapping[str, float] = HIGH,
    due: Callable[[int], float] | None = None,
) -> Iterator[Written]:
    """`count` records (None: without end): 5 % repeats, 1 % misplaced, 1 % expired, 0.5 % of unknown users, 0.3 %
    broken, 0.2 % conflicts. With `due`, which gives the epoch seconds of a record, a fifth of the OTPs has a deadline
    of 2 to 6 s.

    Only fresh requests are misplaced, and none that is in conflict: which of two unlike bodies comes first must not
    depend on the way of the first.
    """
    draw = random.Random(f"{seed}:events")
    straight: list[dict[str, Any]] = []
    astray: list[dict[str, Any]] = []
    for number in itertools.count() if count is None else range(count):
        lot = draw.random()
        if straight and lot < 0.052:
            asked = draw.choice(draw.choice((straight, straight, straight, astray)) or straight)
            if lot >= 0.05:
                asked = (asked if "astray" not in asked["params"] else straight[0]) | {"params": {"code": OTHER}}
            yield _written(asked, number)
            continue
        asked = _request(draw, seed, number, users, classes)
        if due is not None and asked["class"] == "otp" and draw.random() < 0.2:
            asked["deadline"] = datetime.fromtimestamp(due(number) + draw.uniform(2, 6), UTC).isoformat()
        if lot < 0.055:
            yield _topic(asked), asked["user_id"].encode(), _broken(draw, asked), -1
        elif lot < 0.06:
            yield _written(asked | {"user_id": f"{STRANGER}{seed}-{number}"}, number)
        elif lot < 0.07:
            yield _written(asked | {"deadline": PAST}, number)
        elif lot < 0.08:
            asked["params"]["astray"] = True
            _remember(astray, asked, draw)
            yield _written(asked, number, draw.randrange(PARTITIONS))
        else:
            _remember(straight, asked, draw)
            yield _written(asked, number)


def plain_events(seed: int, users: int, classes: Mapping[str, float] = HIGH) -> Iterator[Written]:
    """Sound requests without end, each twentieth of them a repeat."""
    draw = random.Random(f"{seed}:events")
    memory: list[dict[str, Any]] = []
    for number in itertools.count():
        if memory and draw.random() < 0.05:
            yield _written(draw.choice(memory), number)
        else:
            asked = _request(draw, seed, number, users, classes)
            _remember(memory, asked, draw)
            yield _written(asked, number)


def _request(draw: random.Random, seed: int, number: int, users: int, classes: Mapping[str, float]) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "idempotency_key": f"{KEY}{seed}-{number}",
        "user_id": user(draw.randrange(users), seed),
        "channels": draw.choice(("best", "sms", "email", ["sms", "email"], ["push", "email"])),
        "category": draw.choice(("news", "orders", "login")),
        "class": draw.choices(list(classes), list(classes.values()))[0],
        "template_id": "code",
        "params": {"code": f"{CODE}{draw.randrange(1_000_000):06d}"},
    }


def _topic(asked: dict[str, Any]) -> str:
    return "notifications.low" if asked["class"] == "marketing" else TOPIC


def _written(asked: dict[str, Any], number: int, partition: int = -1) -> Written:
    """The record as it leaves its producer, whose clock goes into it."""
    body = asked | {"produced_at": f"2026-01-01T00:00:{number % 60:02d}+00:00"}
    return _topic(asked), asked["user_id"].encode(), json.dumps(body).encode(), partition


def _broken(draw: random.Random, asked: dict[str, Any]) -> bytes | None:
    stray = "otp" if asked["class"] == "marketing" else "marketing"
    return draw.choice((
        None,
        b"{",
        b"\xff\xfe",
        json.dumps(asked | {"schema": 2}).encode(),
        json.dumps(asked | {"class": stray}).encode(),
        json.dumps(asked | {"channels": "pigeon"}).encode(),
        json.dumps(asked | {"channels": []}).encode(),
        json.dumps({name: value for name, value in asked.items() if name != "template_id"}).encode(),
    ))  # fmt: skip


def _remember(memory: list[dict[str, Any]], asked: dict[str, Any], draw: random.Random) -> None:
    if len(memory) < _MEMORY:
        memory.append(asked)
    else:
        memory[draw.randrange(_MEMORY)] = asked


def write_preferences(producer: Producer, seed: int, users: int) -> None:
    """Write every user's preference and wait until all are durable."""
    for person in preferences(seed, users):
        producer.produce("preferences", json.dumps(person).encode(), person["user_id"].encode())
    _flush(producer)


class Upstream(Thread):
    """Writes events in the background: `at_once` of them without delay, the rest at `per_s`."""

    def __init__(self, producer: Producer, records: Iterator[Written], at_once: int, per_s: float) -> None:
        super().__init__(name="upstream", daemon=True)
        self._producer, self._records, self._at_once, self._per_s = producer, records, at_once, per_s
        self.backlog = Event()
        """Set once what comes at once is durable."""

    def run(self) -> None:
        """Write everything; the thread ends when all of it is durable."""
        began = time.monotonic()
        for number, (topic, key, value, partition) in enumerate(self._records):
            if number == self._at_once:
                _flush(self._producer)
                self.backlog.set()
                began = time.monotonic()
            self._producer.produce(topic, value, key, partition)
            if number % 100 == 99:
                self._producer.poll(0)
                ahead = (number - self._at_once) / self._per_s - (time.monotonic() - began)
                if number >= self._at_once and ahead > 0:
                    time.sleep(ahead)
        _flush(self._producer)
        self.backlog.set()


def _flush(producer: Producer) -> None:
    if producer.flush(120):
        raise ChaosError("the broker did not take what upstream wrote within 120 s")
