"""No address, no text and no code is in anything that is written, counted, raised or shown, from admit to settle."""

import base64
import binascii
import contextlib
import logging
import re
from typing import Any

import msgspec
import pytest

from agents.attempt import Outcome
from agents.provider import Kind
from agents.remember import remember
from agents.stage import Outbox
from schemas import topics
from schemas.keys import partition_of
from schemas.records import Delivery
from schemas.vocabulary import Lane
from tests.agents.world import (
    NOW,
    PARTITIONS,
    RING,
    TWILIO,
    Delivering,
    Record,
    World,
    asked,
    delivered,
    deliveries,
    raw,
    ruled,
)

PHONE, MAILBOX, DEVICE = "+4917612345678", "hanna.planted@example.org", "planted-device-token"
CODE, TEXT, NAME = "918273", "planted words of the message", "Hanna Planted"
PLANTED = [PHONE, MAILBOX, DEVICE, CODE, TEXT, NAME]
PARAMS = {"number": CODE, "text": TEXT, "name": NAME}
REACHES = [("sms", PHONE), ("email", MAILBOX), ("push", DEVICE)]


def shown(*outboxes: Outbox, entries: Any = ()) -> str:
    """All that leaves a stage, as bytes, as text and as a developer prints it."""
    parts: list[str] = []
    for outbox in outboxes:
        for topic, key, value, _, headers in outbox.records:
            parts += [topic, repr(key), *unwrapped(value or b""), repr(headers)]
        parts += [repr(outbox.calls), repr(outbox.tally), repr(outbox.observed)]
    return "\n".join([*parts, *(repr(entry) for entry in entries)])


def unwrapped(value: bytes) -> list[str]:
    """A record's text, and that of every field of it that is base64."""
    found = [value.decode("latin-1")]
    for field in re.findall(rb'"([A-Za-z0-9+/]{8,}={0,2})"', value):
        with contextlib.suppress(binascii.Error):
            found += unwrapped(base64.b64decode(field, validate=True))
    return found


def told() -> bytes:
    addresses = [{"channel": channel, "address": address} for channel, address in REACHES]
    return msgspec.json.encode({"tenant": "shop", "user_id": "anna", "version": 1, "addresses": addresses})


def poison() -> list[Record]:
    bodies = [
        b'{"tenant":"shop","params":{"code":"918273"},"user_id":5}',
        b'{"user_id":"anna","params":"planted words of the message',
        b'{"schema":9,"address":"+4917612345678"}',
        f'{{"class":"{TEXT}"}}'.encode(),
        msgspec.json.encode({"channels": [MAILBOX]}),
    ]
    return [raw(body, 100 + place) for place, body in enumerate(bodies)] + [
        asked(200, channels=[PHONE]),
        asked(201, idempotency_key="hidden", user_id="nobody", params=PARAMS),
        asked(202, params={**PARAMS, "other": 1}, category="conflict"),
    ]


def test_a_whole_pass_of_planted_pii_shows_none_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world, preferences = World(), Outbox()
    home = partition_of(b"anna", PARTITIONS)
    bodies = [told(), told()[:-9]]
    batch = [Record("preferences", home, place, NOW, b"anna", body) for place, body in enumerate(bodies)]
    remember(RING, world.clock, PARTITIONS, tell=True)(batch, world.tables, preferences)
    assert topics.PREFERENCES.name in {record[0] for record in preferences.records}, "the canonical record is searched"
    wanted = asked(0, channels=["sms", "email", "push"], params=PARAMS, **{"class": "otp"})
    astray = asked(300, idempotency_key="astray", params=PARAMS)
    routed = world.route(wanted, *poison())
    keyed_again = world.route(Record(astray.topic, (home + 1) % PARTITIONS, 300, NOW, b"anna", astray.value))
    assert [record[0] for record in keyed_again.records] == [topics.misplaced(Lane.HIGH).name]
    (delivery,) = [delivery for delivery in deliveries(routed) if delivery.channel == "sms"]
    outboxes, worlds = [preferences, routed, keyed_again], [world]
    for kind in Kind:
        delivering = Delivering()
        outboxes += whole_life(delivering, delivery, kind)
        worlds.append(delivering.world)
    entries = [entry for each in worlds for table in each.tables.values() for entry in table.items()]
    everything = shown(*outboxes, entries=entries) + caplog.text + repr(delivery)
    assert len(everything) > 20_000, "there is something to search"
    for secret in PLANTED:
        assert secret not in everything


def whole_life(delivering: Delivering, delivery: Delivery, kind: Kind) -> list[Outbox]:
    """A delivery through its call, its outcome and its replay, and two that end before a call."""
    announced, work = Outbox(), delivering.announce(delivery)
    assert (work.message.address, work.message.parts) == (PHONE, {"body": f"Order {CODE}"})
    announced.call(work)
    announced.call(TWILIO.call(work.message, None))
    outcome = Outcome(work, ruled(kind, "why", suppress=kind is Kind.OPTED_OUT), NOW)
    announced.call(outcome)
    no_template = msgspec.structs.replace(delivery, notification_id="n2", template_id="missing")
    does_not_open = msgspec.structs.replace(delivery, notification_id="n3")
    replayed = [delivered(delivery), delivered(no_template, 77), delivered(does_not_open, 78)]
    return [announced, delivering.settle(outcome), delivering.run(*replayed)[1]]


def test_the_search_would_find_what_is_planted() -> None:
    outbox = Outbox()
    outbox.call(TEXT)
    assert TEXT in shown(outbox)
    for body in (MAILBOX.encode(), msgspec.json.encode({"inner": TEXT.encode()})):
        wrapped = Outbox()
        wrapped.send(topics.DEAD_LETTERS, b"k", msgspec.json.encode({"body": body}))
        assert any(secret in shown(wrapped) for secret in (MAILBOX, TEXT))
