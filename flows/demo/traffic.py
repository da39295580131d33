"""What upstream producers write: mostly sound notifications, and everything that must not stop a lane."""

import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from flows.demo.people import COUNT, TENANT, name_of
from schemas import topics
from schemas.records import MAX_INPUT_BYTES
from schemas.vocabulary import CLASSES, Lane, MessageClass

REPEATS, CONFLICTS, STRANGERS, NEWCOMERS, BROKEN, NO_TEMPLATE = 0.03, 0.005, 0.008, 0.005, 0.006, 0.003
"""Shares of the traffic; the rest is sound."""
OTHER_PARTITIONER, KEYLESS = 0.02, 0.01
_RECENT = 500


class Way(Enum):
    """How a record finds its partition."""

    RIGHT = "murmur2_random"
    OTHER = "consistent_random"
    """librdkafka's default, as a producer without settings has it."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One record for an input topic; `newcomer` is a user whose preference follows a little later."""

    topic: str
    key: str | None
    value: bytes | None
    way: Way = Way.RIGHT
    newcomer: str | None = None


Fields = dict[str, Any]


class Traffic:
    """Draws shots; the same ones for the same dice."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._serial = itertools.count()
        self._recent: dict[Lane, deque[Fields]] = {lane: deque(maxlen=_RECENT) for lane in Lane}
        self._breaks = itertools.cycle(BREAKS)

    def shot(self, lane: Lane) -> Shot:
        """The next record for a lane."""
        draw, newcomer = self._dice.random(), None
        if draw < BROKEN:
            return Shot(topics.notifications(lane).name, self._user(), next(self._breaks)(self._fields(lane)))
        draw -= BROKEN
        recent = self._recent[lane]
        if draw < REPEATS + CONFLICTS and recent:
            fields = dict(self._dice.choice(recent))
            if draw < CONFLICTS:
                fields["params"] = {**fields["params"], "name": "somebody else"}
        else:
            fields = self._fields(lane)
            newcomer = self._change(fields, draw - REPEATS - CONFLICTS)
            recent.append(fields)
        key: str | None = fields["user_id"]
        way = self._dice.random()
        if way < KEYLESS:
            key = None
        other = KEYLESS <= way < KEYLESS + OTHER_PARTITIONER
        value = json.dumps(fields).encode()
        return Shot(topics.notifications(lane).name, key, value, Way.OTHER if other else Way.RIGHT, newcomer)

    def _change(self, fields: Fields, draw: float) -> str | None:
        """Turn a sound notification into one of the rarer kinds; the user id of a newcomer."""
        if draw < STRANGERS:
            fields["user_id"] = f"stranger-{next(self._serial)}"
        elif draw < STRANGERS + NEWCOMERS:
            fields["user_id"] = f"newcomer-{next(self._serial)}"
            return str(fields["user_id"])
        elif draw < STRANGERS + NEWCOMERS + NO_TEMPLATE:
            fields["template_id"] = "forgotten"
        return None

    def _user(self) -> str:
        return name_of(self._dice.randrange(COUNT))

    def _fields(self, lane: Lane) -> Fields:
        dice, number = self._dice, next(self._serial)
        kind = dice.choices(list(_KINDS[lane]), weights=[entry[0] for entry in _KINDS[lane].values()])[0]
        _, template, category, channels = _KINDS[lane][kind]
        return {
            "tenant": TENANT,
            "idempotency_key": f"{template}-{number}",
            "user_id": self._user(),
            "channels": dice.choice(channels),
            "category": category,
            "class": kind.value,
            "template_id": template,
            "params": {
                "name": f"Person {number}",
                "code": f"{dice.randrange(10**6):06}",
                "order": f"A{number}",
                "state": dice.choice(("packed", "on its way", "delivered")),
                "invoice": f"I{number}",
                "amount": f"{dice.randrange(5, 500)} EUR",
                "due": "the first",
                "offer": "this week everything is a little cheaper.",
            },
        }


_KINDS: dict[Lane, dict[MessageClass, tuple[int, str, str, tuple[Any, ...]]]] = {
    Lane.HIGH: {
        MessageClass.OTP: (5, "otp", "login", ("sms", "sms", "best", ["sms", "email"])),
        MessageClass.TRANSACTIONAL: (4, "order", "orders", ("best", "push", ["push", "email"], "sms")),
        MessageClass.BILLING: (1, "invoice", "billing", ("email", "best")),
    },
    Lane.LOW: {MessageClass.MARKETING: (1, "offer", "news", ("best", "push", "email", "sms"))},
}
"""Of each lane: weight, template, category and the ways to ask for channels."""


def _text(fields: Fields, **changed: object) -> bytes:
    return json.dumps({**fields, **changed}).encode()


def _wrong_lane(fields: Fields) -> bytes:
    mine = CLASSES[MessageClass(fields["class"])].lane
    return _text(fields, **{"class": next(kind for kind, rule in CLASSES.items() if rule.lane is not mine)})


BREAKS: tuple[Callable[[Fields], bytes | None], ...] = (
    lambda fields: _text(fields)[:-9],
    lambda fields: b"\xff\xfe" + _text(fields),
    lambda fields: None,
    _wrong_lane,
    lambda fields: _text(fields, schema=2),
    lambda fields: _text(fields, params={"nested": "<>"}).replace(b'"<>"', b"[" * 50_000 + b"]" * 50_000),
    lambda fields: _text(fields, params={"long": "x" * (MAX_INPUT_BYTES + 1)}),
    lambda fields: _text(fields, channels="pigeon"),
    lambda fields: _text(fields, user_id=None),
)
"""Ways to be unusable: cut short, no UTF-8, nothing at all, the wrong lane, a newer schema, too deep, too large, an
unknown channel, a missing user."""
