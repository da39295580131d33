"""What is sent in a benchmark, and what must come of it: pure functions of a number, so any process can tell.

Event `i` of a run always is the same bytes for the same user; which channel it must reach follows here from a rule of
its own, written without the code under test.

    python workload.py RATE SECONDS START PHASE USERS MIX PREFIX    the open-loop generator, in its own process
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from functools import cache, partial
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import uvloop
from measure import say
from rig import PARTITIONS, producer

from flows.engine.kafka.line import Line, Placed
from flows.engine.kafka.queued import Emission
from schemas.keys import partition_of, user_key
from schemas.records import Address, OptOut, Preference, encode
from schemas.sealing import KeyRing
from schemas.topics import notifications
from schemas.vocabulary import Lane
from tables.preferences import context

TENANT = "acme"
TEMPLATE = "bench"
PROBE = "probe-"
"""How the idempotency keys of events begin that only ask whether somebody works."""
GENERATOR_LINGER_MS = 5.0
"""`linger.ms` of Kafka's Java client from 4.0 on (KIP-1030)."""
_TICK_S = 0.002
REPEATS_OF_500_000 = 25_134
"""So many of 500,000 events are repeats, which leaves 474,866 distinct."""
_CATEGORIES = ("news", "orders", "login")
_ASKED = ("sms", "email", "best")
_ADDRESSES = {"push": "device-token-{:012d}", "sms": "+4917{:08d}", "email": "u{}@example.org"}
_MIX = ("otp", *("transactional",) * 5, "billing", *("marketing",) * 3)
"""10 % OTP, 50 % transactional, 10 % billing, 30 % marketing."""
MIXES = {"all": _MIX, "high": _MIX[:7], "otp": _MIX[:1], "marketing": _MIX[7:]}


class Contents(NamedTuple):
    """A delivery, opened: user, idempotency key, channel, plain address, params in canonical JSON."""

    user: str
    key: str
    channel: str
    address: str
    params: str


class Event(NamedTuple):
    """One event: Kafka key, bytes, idempotency key, lane, and the channel it must reach (None: none)."""

    user: bytes
    body: bytes
    key: str
    lane: Lane
    channel: str | None


def opted_out(user: int) -> bool:
    """Every fifth user wants no news by SMS."""
    return user % 5 == 0


def event(number: int, users: int, phase: str = "b", mix: str = "high") -> Event:
    """Event `number` of a phase."""
    key, kinds = f"{phase}-{number:09d}", MIXES[mix]
    draw = int.from_bytes(blake2b(key.encode(), digest_size=16).digest())
    draw, user = divmod(draw, users)
    draw, kind_ = divmod(draw, len(kinds))
    draw, asked_ = divmod(draw, len(_ASKED))
    kind, asked, category = kinds[kind_], _ASKED[asked_], _CATEGORIES[draw % len(_CATEGORIES)]
    body = {
        "tenant": TENANT,
        "idempotency_key": key,
        "user_id": f"user-{user}",
        "class": kind,
        "channels": asked,
        "category": category,
        "template_id": TEMPLATE,
        "params": {"name": f"Anna {user}", "code": f"{number % 1_000_000:06d}"},
        "produced_at": "2026-01-01T00:00:00.000Z",
    }
    refused = asked == "sms" and category == "news" and opted_out(user)
    channel = None if refused else "push" if asked == "best" else asked
    lane = Lane.LOW if kind == "marketing" else Lane.HIGH
    return Event(f"user-{user}".encode(), msgspec.json.encode(body), key, lane, channel)


def backlog(count: int, users: int) -> Iterator[Event]:
    """`count` events of the high lane, some of them repeats of earlier ones, byte for byte."""
    for place in range(count):
        yield event(_origin(place), users)


def _is_repeat(place: int) -> bool:
    return (place + 1) * REPEATS_OF_500_000 // 500_000 > place * REPEATS_OF_500_000 // 500_000


def _origin(place: int) -> int:
    if not _is_repeat(place):
        return place
    earlier = random.Random(place).randrange(place)
    return earlier - 1 if _is_repeat(earlier) else earlier


@cache
def expected(count: int, users: int) -> frozenset[Contents]:
    """The deliveries that must come of a backlog."""
    return frozenset(
        delivery(made) for place in range(count) if not _is_repeat(place) and (made := event(place, users)).channel
    )


def delivery(made: Event) -> Contents:
    """What must come of an event that is not refused."""
    user, channel = made.user.decode(), made.channel
    assert channel is not None
    number = int(user.removeprefix("user-"))
    params = f'{{"code":"{int(made.key[-9:]) % 1_000_000:06d}","name":"Anna {number}"}}'
    return Contents(user, made.key, channel, _ADDRESSES[channel].format(number), params)


def probes(name: str, users: int) -> dict[str, tuple[bytes, bytes]]:
    """An event for push in every partition, key and bytes, by idempotency key; `name` tells one set from another."""
    found: dict[str, tuple[bytes, bytes]] = {}
    free = set(range(PARTITIONS))
    for number in range(users):
        user = f"user-{number}"
        partition = partition_of(user.encode(), PARTITIONS)
        if partition in free:
            free.remove(partition)
            key = f"{PROBE}{name}-{partition}"
            body = {
                "tenant": TENANT,
                "idempotency_key": key,
                "user_id": user,
                "class": "otp",
                "channels": "push",
                "category": "login",
                "template_id": TEMPLATE,
                "params": {},
            }
            found[key] = user.encode(), msgspec.json.encode(body)
    if free:
        raise ValueError(f"no user of {users} lies in partitions {sorted(free)}")
    return found


def preferences(users: int, ring: KeyRing, by_user: bool = False) -> Iterator[tuple[bytes, bytes, int]]:
    """Key, record and partition of every user: a device, a number and a mailbox, as our own tools write them.

    `by_user`: under the key that an event has, for peers that join by it.
    """
    for number in range(users):
        user = f"user-{number}"
        bound = context(TENANT, user)
        addresses = []
        for channel, form in _ADDRESSES.items():
            text = form.format(number)
            hashed = ring.address_hash(TENANT, text)
            addresses.append(Address(channel=channel, sealed=ring.seal(text.encode(), bound), hash=hashed))
        outs = [OptOut(channel="sms", category="news")] if opted_out(number) else []
        record = Preference(tenant=TENANT, user_id=user, version=1, addresses=addresses, opt_outs=outs)
        key = user.encode() if by_user else user_key(TENANT, user)
        yield key, encode(record), partition_of(user.encode(), PARTITIONS)


def fill(brokers: str, topic: str, records: Iterator[tuple[bytes, bytes]] | Iterator[tuple[bytes, bytes, int]]) -> int:
    """Write (key, value) or (key, value, partition) records as fast as they go; returns how many."""
    writer, count = producer(brokers), 0
    for key, value, *partition in records:
        while True:
            try:
                writer.produce(topic, value, key, *partition)
                break
            except BufferError:
                writer.poll(0.1)
        count += 1
        if count % 2000 == 0:
            writer.poll(0)
    if writer.flush(120):
        raise TimeoutError(f"{topic} was not written within 120 s")
    return count


async def generate(
    brokers: str, rate: int, seconds: float, start: float, phase: str, users: int, mix: str, prefix: str
) -> str:
    """Write event i at start + i / rate, whatever happens; returns how late the worst was and what it cost, as JSON.

    It writes as Kafka's own Java client does unless told otherwise: what comes within 5 ms goes in one request,
    whatever its partitions. The events are made before `start`, so that on shared cores their making takes no time from
    who is measured. The names of the topics they are written to begin with `prefix`.
    """
    events = [event(number, users, phase, mix) for number in range(int(rate * seconds))]
    line, number, late, loop = Line(brokers, GENERATOR_LINGER_MS, "generator"), 0, 0.0, asyncio.get_running_loop()
    topics = {lane: f"{prefix}{notifications(lane).name}" for lane in Lane}

    def placed(made: Event) -> Placed:
        topic = topics[made.lane]
        return (topic, line.choose(topic, made.user)), made.user, made.body, None

    await line.start()
    written: list[asyncio.Future[None]] = []
    prepared_s = time.process_time()
    while number < len(events):
        now = time.time()
        due = min(len(events), int((now - start) * rate) + 1)
        if due <= number:
            await asyncio.sleep(max(_TICK_S, start + number / rate - now))
            continue
        late = max(late, now - start - number / rate)
        await line.room()
        acknowledged = loop.create_future()
        written.append(acknowledged)
        emission = Emission(1, loop.time(), int(now * 1000), partial(acknowledged.set_result, None), _no_changelog)
        line.produce([placed(made) for made in events[number:due]], emission)
        emission.less()
        number = due
    async with asyncio.timeout(60):
        await asyncio.gather(*written)
    cost = {"events": number, "late_ms": round(late * 1000, 1), "cpu_s": round(time.process_time() - prepared_s, 2)}
    await line.stop()
    return json.dumps(cost)


def _no_changelog(topic: str, partition: int, offset: int) -> None:
    """Nothing that is written here is a changelog's."""


if __name__ == "__main__":
    rate_, seconds_, start_, phase_, users_, mix_, prefix_ = sys.argv[1:]
    kafka = os.environ["CARILLON_KAFKA"]
    load = generate(kafka, int(rate_), float(seconds_), float(start_), phase_, int(users_), mix_, prefix_)
    say(uvloop.run(load))
