"""What routing must come to, worked out a second time and slowly: one dict, no Kafka, nothing of the engine.

A request is one (tenant, user, key); its first record decides and every later one is a duplicate or a conflict. "First"
is known only within a partition: where a request's records lie in several, their decisions are told as one bag.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

HIGH = ("otp", "transactional", "billing")
DEFAULT_ORDER = ("push", "sms", "email")
Place = tuple[int, int]
Output = tuple[str, str, str]


def expect(
    records: Iterable[tuple[int, int, bytes | None]], people: Mapping[tuple[str, str], dict[str, Any]], now: datetime
) -> tuple[set[Output], dict[tuple[Place, ...], list[str]]]:
    """(partition, offset, value) of each input -> outputs (user, key, channel), and decisions by input position."""
    outputs: set[Output] = set()
    decisions: dict[tuple[Place, ...], list[str]] = {}
    requests: dict[tuple[str, str, str], list[tuple[Place, dict[str, Any]]]] = defaultdict(list)
    for partition, offset, value in records:
        asked = _read(value)
        if asked is None:
            decisions[(partition, offset),] = ["dead"]
        elif "deadline" in asked and datetime.fromisoformat(asked["deadline"]) <= now:
            decisions[(partition, offset),] = ["expired"]
        else:
            requests[asked["tenant"], asked["user_id"], asked["idempotency_key"]].append(((partition, offset), asked))
    for (tenant, user, key), asks in requests.items():
        asks.sort(key=lambda ask: ask[0])
        first = asks[0][1]
        verdict, channels = _decide(first, people.get((tenant, user)))
        outputs |= {(user, key, channel) for channel in channels}
        ends = [verdict] + ["duplicate" if ask == first else "dead" for _, ask in asks[1:]]
        if len({partition for (partition, _), _ in asks}) == 1:
            decisions |= {(place,): [end] for (place, _), end in zip(asks, ends, strict=True)}
        else:
            decisions[tuple(place for place, _ in asks)] = sorted(ends)
    return outputs, decisions


def _read(value: bytes | None) -> dict[str, Any] | None:
    try:
        asked = json.loads(value or b"")
    except ValueError:
        return None
    if not isinstance(asked, dict) or asked.get("schema", 1) > 1 or asked.get("class") not in HIGH:
        return None
    channels = asked.get("channels")
    named = channels if isinstance(channels, list) else [channels]
    if "template_id" not in asked or not named or not set(named) <= {"best", *DEFAULT_ORDER}:
        return None
    asked.pop("produced_at", None)
    return asked


def _decide(asked: dict[str, Any], person: dict[str, Any] | None) -> tuple[str, list[str]]:
    if person is None:
        return "held", []
    order = [*person.get("preferred", []), *DEFAULT_ORDER]
    refused = [(choice["channel"], choice["category"]) for choice in person["opt_outs"] if choice.get("out", True)]
    numbers: dict[str, int] = defaultdict(int)
    for address in person["addresses"]:
        channel = address["channel"]
        out = any(where in (channel, "*") and what in (asked["category"], "*") for where, what in refused)
        if address.get("verified", True) and not out:
            numbers[channel] = numbers[channel] + 1 if channel == "push" else 1
    if asked["channels"] == "best":
        chosen = sorted(numbers, key=order.index)[:1]
    else:
        chosen = [channel for channel in numbers if channel in asked["channels"]]
    return (f"routed:{sum(numbers[channel] for channel in chosen)}" if chosen else "suppressed"), chosen
