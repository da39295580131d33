"""The ledgers of a run made by hand: one OTP by SMS that went as it should."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import oracle
from accepted import Entry
from ledgers import CHANNELS, Call, Ledgers, Told, Waiting, hash_of
from rows import fold

T = 1_000_000.0
"""Epoch seconds at which the request was accepted; the user was known long before."""
PHONE = "+4915000000001"
TOPIC, CHANNEL = "notifications.high", "sms_notifications.high"
ASKED = {
    "tenant": "acme",
    "user_id": "ada",
    "idempotency_key": "k",
    "class": "otp",
    "channels": "sms",
    "category": "login",
    "template_id": "code",
    "params": {"code": "7"},
}


def digest(text: str) -> str:
    """What the sandbox writes of an address or a body."""
    return sha256(text.encode()).hexdigest()


def a_request(offset: int = 0, **changed: Any) -> Entry:
    """A request that was accepted at T."""
    value = json.dumps(ASKED | changed).encode()
    return Entry("request", offset, T, T, "ok", TOPIC, 0, offset, T, "ada", value)


def a_preference(version: int = 1, at: float = 0.0, **changed: Any) -> Entry:
    """A preference that was accepted at `at`."""
    person = {"tenant": "acme", "user_id": "ada", "version": version}
    value = json.dumps(person | {"addresses": [{"channel": "sms", "address": PHONE}]} | changed).encode()
    return Entry("preference", version, at, at, "ok", "preferences", 0, version, at, "ada", value)


ID = next(iter(oracle.expect([oracle.Record((TOPIC, 0, 0), a_request().value, T)], oracle.People([], max), {})[0]))


def a_decision(step: str = "routed", offset: int = 0, deliveries: int = 0, **changed: Any) -> Told:
    """What route told of the request, 10 ms after it was accepted."""
    at, place = int(T * 1000) + 10, (TOPIC, 0, offset)
    return replace(
        Told(ID, "ada", step, "", at, int(T * 1000), place, 1, "", "", deliveries, 0, "", "", flagged=False), **changed
    )


def a_move(step: str = "sent", attempt: int = 1, **changed: Any) -> Told:
    """What deliver told, 100 ms after the request was accepted."""
    at, place, hashed = int(T * 1000) + 100, (CHANNEL, 3, attempt - 1), hash_of("acme", PHONE)
    found = Told(ID, "ada", step, "", at, int(T * 1000), place, 1, "sms", hashed, 0, attempt, "twilio", "", False)
    return replace(found, **changed)


def a_call(attempt: int = 1, at: float = 0.05, **changed: Any) -> Call:
    """A call that a provider read `at` seconds after the request was accepted, and took."""
    ref = f"{ID}.sms.1.{attempt}"
    return replace(Call(T + at, ref, ID, "sms", digest(PHONE), digest("Code 7"), "201", 0.05, True), **changed)


def a_delivery(attempt: int = 1) -> Waiting:
    """A delivery on its channel's topic."""
    return Waiting((CHANNEL, 3, attempt - 1), ID, "sms", hash_of("acme", PHONE), attempt)


def a_run() -> Ledgers:
    """All as it should be."""
    made = Ledgers(
        accepted=[a_preference(), a_request()],
        calls=[a_call()],
        told=[a_decision(deliveries=1), a_move()],
        ends={(TOPIC, 0): 1},
        waiting=[a_delivery()],
    )
    return with_rows(made)


def with_rows(ledgers: Ledgers) -> Ledgers:
    """The same with the rows that follow from its statuses."""
    ids = {told.id for told in ledgers.told if told.id}
    latest = max((e for e in ledgers.accepted if e.kind == "preference"), key=lambda e: e.number, default=None)
    shown = CHANNELS if latest is not None else ()
    ledgers.channels = {("acme/ada", channel): (channel == "sms", latest.number) for channel in shown}
    ledgers.rows = {id_: fold([t for t in ledgers.told if t.id == id_ and t.step != "duplicate"]) for id_ in ids}
    return ledgers


def an_otp_sent_again(*, flagged: bool = True, **first: Any) -> Ledgers:
    """The outcome of the first call was not known, so the same code went again."""
    run = a_run()
    run.calls = [a_call(**first), a_call(2, at=2.0)]
    retried = a_move("retrying", reason="outcome_unknown", flagged=flagged)
    run.told = [a_decision(deliveries=1), retried, a_move("sent", 2, flagged=flagged)]
    run.waiting.append(a_delivery(2))
    return with_rows(run)
