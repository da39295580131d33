"""What comes in: people with their preferences, sound requests, and everything that goes wrong with requests."""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

TENANT = "shop"
PAST = "2020-01-01T00:00:00+00:00"
CULPRIT = "culprit"
"""A request of this category makes the stage raise."""
DEAD_PHONE = "+49151000000"
Person = dict[str, Any]


class Written(NamedTuple):
    """A record as its producer writes it; partition -1 leaves the choice to the key."""

    key: bytes
    value: bytes | None
    partition: int = -1


def people(draw: random.Random, count: int) -> list[Person]:
    """Users with a phone each and up to two devices; some unverified, some opted out, one whose phone is dead."""
    found = []
    for number in range(count):
        addresses: list[dict[str, Any]] = [{"channel": "sms", "address": f"{DEAD_PHONE}{number or ''}"}]
        addresses += [{"channel": "push", "address": f"device-{number}-{n}"} for n in range(draw.choice((0, 0, 1, 2)))]
        if draw.random() < 0.1:
            addresses[0]["verified"] = False
        person: Person = {"tenant": TENANT, "user_id": f"user-{number}", "version": 2, "addresses": addresses}
        person["opt_outs"] = []
        if draw.random() < 0.2:
            person["opt_outs"].append({"channel": draw.choice(("sms", "push", "*")), "category": "news", "out": True})
        if draw.random() < 0.3:
            person["preferred"] = ["sms"]
        found.append(person)
    return found


def told(draw: random.Random, everybody: list[Person]) -> Iterator[Written]:
    """Their preferences as they were written: some have an earlier version, by which nobody may go any more."""
    for person in everybody:
        if draw.random() < 0.3:
            earlier = person | {"version": 1, "addresses": [], "opt_outs": [{"channel": "*", "category": "*"}]}
            yield Written(person["user_id"].encode(), json.dumps(earlier).encode())
    for person in everybody:
        yield Written(person["user_id"].encode(), json.dumps(person).encode())


def requests(draw: random.Random, count: int, everybody: list[Person], partitions: int) -> Iterator[Written]:
    """Requests. A misplaced one has no conflict: which of two unlike bodies is first must not hang on its way."""
    straight: list[Person] = []
    every: list[Person] = []
    for number in range(count):
        lot = draw.random()
        if lot < 0.15 and every:
            yield _written(draw.choice(every), number)
            continue
        if lot < 0.19 and straight:
            yield _written(draw.choice(straight) | {"params": {"code": "other"}}, number)
            continue
        asked = _request(draw, number, everybody)
        if lot < 0.22:
            yield Written(asked["user_id"].encode(), _broken(draw, asked))
        elif lot < 0.25:
            yield _written(asked | {"user_id": f"nobody-{number}"}, number)
        elif lot < 0.27:
            yield _written(asked | {"deadline": PAST}, number)
        elif lot < 0.30:
            yield _written(asked | {"category": CULPRIT}, number)
        elif lot < 0.36:
            every.append(asked)
            yield _written(asked, number, draw.randrange(partitions))
        else:
            straight.append(asked)
            every.append(asked)
            yield _written(asked, number)


def _request(draw: random.Random, number: int, everybody: list[Person]) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "idempotency_key": f"key-{number}",
        "user_id": draw.choice(everybody)["user_id"],
        "channels": draw.choice(("best", "sms", "sms", "push", ["sms", "push"])),
        "category": draw.choice(("news", "orders")),
        "class": draw.choice(("otp", "transactional", "billing")),
        "template_id": "code",
        "params": {"code": str(number)},
    }


def _written(asked: dict[str, Any], number: int, partition: int = -1) -> Written:
    body = asked | {"produced_at": f"2026-01-01T00:00:{number % 60:02d}+00:00"}
    return Written(asked["user_id"].encode(), json.dumps(body).encode(), partition)


def _broken(draw: random.Random, asked: dict[str, Any]) -> bytes | None:
    return draw.choice((
        None,
        b"{",
        b"\xff\xfe",
        json.dumps(asked | {"schema": 2}).encode(),
        json.dumps(asked | {"class": "marketing"}).encode(),
        json.dumps(asked | {"channels": []}).encode(),
    ))  # fmt: skip
