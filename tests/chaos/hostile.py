"""What foreign clients and mistaken people write: a hundredth of the load is this, and none of it may stop a lane.

Three kinds go out beside the ordinary traffic. Records that must end as dead letters have users of their own and the
kind `hostile` in the ledger. Headers that only the engine may write go on ordinary requests, which must be decided as
if they were not there. And a share of ordinary requests names a template that cannot be parsed, whose deliveries must
end as dead with the reason bad_template.
"""

import gzip
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from harness import BROKEN_TEMPLATE_ID
from traffic import TENANT, Written

SHARE = 0.01
"""Hostile records for each ordinary request, and ordinary requests with hostile headers."""
USER = "hostile-"
"""How the keys of hostile records begin."""
TAINTED = 150
"""One idempotency key in so many names the template that cannot be parsed."""
Headers = list[tuple[str, bytes | None]]

_HEADERS: tuple[Headers, ...] = (
    [("origin", None)],
    [("origin", b"\xff\xfe")],
    [("origin", b"checkout-service")],
    [("origin", b"notifications.high/0/99999999999999999999")],
    [("to", b"statuses"), ("due", b"soon")],
    [("traceparent", None), ("", b"")],
)


def headers(draw: Random) -> Headers:
    """Headers that only the engine writes, and broken ones."""
    return draw.choice(_HEADERS)


def taint(record: Written) -> Written:
    """The record; if its idempotency key is one of so many, with the template that cannot be parsed. A repeat of a
    request is treated as the request was."""
    topic, key, value, partition = record
    try:
        body = json.loads(value or b"")
        number = int(body["idempotency_key"].rpartition("-")[2])
    except (ValueError, TypeError, KeyError):
        return record
    if number % TAINTED:
        return record
    return topic, key, json.dumps(body | {"template_id": BROKEN_TEMPLATE_ID}).encode(), partition


def records(seed: int) -> Iterator[Written]:
    """Records without end that must end as dead letters: requests of both lanes and preferences."""
    draw, number = Random(f"{seed}:hostile"), 0
    while True:
        number += 1
        user = f"{USER}{seed}-{number}"
        if draw.random() < 0.3:
            yield "preferences", user.encode(), _preference(draw, user), -1
        else:
            lane, kind = draw.choice((("high", "otp"), ("high", "billing"), ("low", "marketing")))
            yield f"notifications.{lane}", user.encode(), _request(draw, user, kind), -1


def _request(draw: Random, user: str, kind: str) -> bytes:
    asked: dict[str, Any] = {
        "tenant": TENANT,
        "idempotency_key": f"hostile-{user}",
        "user_id": user,
        "channels": "sms",
        "category": "news",
        "class": kind,
        "template_id": "code",
        "params": {"code": "hostile"},
    }
    text = json.dumps(asked).encode()
    wrong: tuple[dict[str, Any], ...] = (
        {"class": kind.upper()},
        {"channels": "SMS"},
        {"channels": ["sms", "pigeon"]},
        {"params": None},
        {"deadline": 1_900_000_000},
        {"deadline": "2099-01-01T00:00:00"},
        {"idempotency_key": "k" * 257},
        {"tenant": "a\x1fb"},
        {"user_id": "\U0001d7d8" * 256, "tenant": "\U0001d7d8" * 256},
        {"tries": 2},
        {"params": {"code": "x" * 600_000}},
    )
    framed = (
        b"\x00\x00\x00\x00\x07" + text,
        b"\xef\xbb\xbf" + text,
        text.decode().encode("utf-16"),
        gzip.compress(text),
        b'{"specversion":"1.0","id":"1","source":"/shop","type":"order","data":' + text + b"}",
        json.dumps(text.decode()).encode(),
        b"[" * 100_000,
        b'{"tenant": "\xff"}',
    )
    changed = [json.dumps(asked | wrongly).encode() for wrongly in wrong]
    return draw.choice((*changed, *framed))


def _preference(draw: Random, user: str) -> bytes:
    told: dict[str, Any] = {
        "tenant": TENANT,
        "user_id": user,
        "version": 1,
        "addresses": [{"channel": "sms", "address": "+4915900000000"}],
    }
    wrong: tuple[dict[str, Any], ...] = (
        {"opt_outs": [{"channel": "sms", "category": "c" * 640_000}]},
        {"addresses": [{"channel": "sms", "sealed": "A" * 800_000, "hash": "0" * 32}]},
        {"opt_outs": [{"channel": "SMS", "category": "*"}]},
        {"version": -1},
        {"version": 2**64},
        {"tenant": "\U0001d7d8" * 256},
        {"preferred": "sms"},
    )
    return draw.choice((*(json.dumps(told | wrongly).encode() for wrongly in wrong), b"{", b"\xff"))
