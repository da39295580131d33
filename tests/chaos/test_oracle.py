"""The oracle is a second opinion: it shares no code with the engine and knows every outcome that would be right."""

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import oracle
from oracle import People, Record, Version, Wanted

TOPIC = "notifications.high"
ADA = ("acme", "ada")
NEVER = float("inf")


def a_request(offset: int = 0, *, at: float = 100.0, partition: int = 0, **changed: Any) -> Record:
    """A request of ada's, by SMS, appended at `at`."""
    asked = {"tenant": "acme", "user_id": "ada", "idempotency_key": "k", "class": "otp", "channels": "sms"}
    asked |= {"category": "login", "template_id": "code", "params": {"code": "7"}}
    return Record((TOPIC, partition, offset), json.dumps(asked | changed).encode(), at)


def a_version(number: int = 1, *, sent: float = 0.0, sms: str = "+491", **more: Any) -> Version:
    """A preference of ada's, acknowledged 0.1 s after it was sent."""
    person = {"tenant": "acme", "user_id": "ada", "version": number, "addresses": [{"channel": "sms", "address": sms}]}
    return Version(sent, sent + 0.1, person | more)


def people(*versions: Version) -> People:
    """A history in which what was durable for 2 s must be heeded."""
    return People(versions, lambda acked, at: at - acked > 2.0)


def wanted(history: People, *records: Record, decided: float = 101.0) -> Wanted:
    """What is wanted of the one request among `records`."""
    (id_,) = oracle.expect(records, history, {})[0]
    return oracle.expect(records, history, {id_: decided})[0][id_]


def test_the_oracle_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_it_names_a_notification_as_the_engine_does() -> None:
    from schemas.keys import notification_id
    from schemas.vocabulary import Lane

    assert wanted(people(a_version()), a_request()).id == notification_id("acme", Lane.HIGH, "ada", "k")


def test_a_user_who_has_not_changed_leaves_one_right_outcome() -> None:
    found = wanted(people(a_version()), a_request())
    assert found.plans == {("routed:1", frozenset({("sms", "+491")}))}


def test_a_repeat_decides_where_the_first_expired_before_it_was_looked_at() -> None:
    found = wanted(people(a_version()), a_request(), a_request(1, at=200.0), decided=450.0)
    first, second = (TOPIC, 0, 0), (TOPIC, 0, 1)
    assert found.fits({first: "expired", second: "routed:1"})
    assert found.fits({first: "routed:1", second: "duplicate"})
    assert not found.fits({first: "expired", second: "duplicate"})
    assert not found.fits({first: "routed:1", second: "routed:1"})


def test_only_where_it_was_decided_again_may_a_later_opt_out_leave_nothing_of_best() -> None:
    addresses = [{"channel": "sms", "address": "+491"}, {"channel": "email", "address": "a@example.org"}]
    out = [{"channel": "sms", "category": "*", "out": True}]
    history = people(a_version(addresses=addresses), a_version(2, sent=110.0, addresses=addresses, opt_outs=out))
    found, place = wanted(history, a_request(channels="best"), decided=120.0), (TOPIC, 0, 0)
    assert not found.fits({place: "suppressed"})
    assert found.fits({place: "suppressed"}, {place})


def test_an_address_that_changed_just_then_leaves_two() -> None:
    history = people(a_version(), a_version(2, sent=99.0, sms="+492"))
    assert wanted(history, a_request()).targets == {("sms", "+491"), ("sms", "+492")}


def test_an_address_that_changed_long_before_must_be_known_and_one_that_changes_later_cannot_be() -> None:
    history = people(a_version(), a_version(2, sent=90.0, sms="+492"), a_version(3, sent=110.0, sms="+493"))
    assert wanted(history, a_request()).targets == {("sms", "+492")}


def test_of_two_versions_the_higher_holds_whenever_it_was_written() -> None:
    history = people(a_version(2, sms="+492"), a_version(1, sent=50.0))
    assert wanted(history, a_request()).targets == {("sms", "+492")}


def test_an_unknown_user_is_held_and_one_who_appears_meanwhile_is_routed() -> None:
    held = ("held", frozenset[oracle.Target]())
    assert wanted(people(), a_request()).plans == {held}
    later = wanted(people(a_version(sent=102.0)), a_request(), decided=103.0)
    assert later.plans == {held, ("routed:1", frozenset({("sms", "+491")}))}


def test_best_is_the_first_preferred_channel_that_was_not_refused() -> None:
    addresses = [{"channel": name, "address": name} for name in ("email", "sms", "push")]
    out = [{"channel": "email", "category": "*", "out": True}]
    history = people(a_version(addresses=addresses, opt_outs=out, preferred=["email", "sms"]))
    assert wanted(history, a_request(channels="best")).targets == {("sms", "sms")}


def test_push_goes_to_every_device_and_an_unverified_address_gets_nothing() -> None:
    addresses = [{"channel": "push", "address": "one"}, {"channel": "push", "address": "two"}]
    addresses.append({"channel": "sms", "address": "+1", "verified": False})  # type: ignore[dict-item]
    found = wanted(people(a_version(addresses=addresses)), a_request(channels=["push", "sms"]))
    assert found.plans == {("routed:2", frozenset({("push", "one"), ("push", "two")}))}


def test_the_first_record_of_a_partition_decides_and_the_others_are_repeats_or_conflicts() -> None:
    history = people(a_version())
    found = wanted(history, a_request(), a_request(1), a_request(2, params={"code": "8"}))
    places = [(TOPIC, 0, offset) for offset in range(3)]
    assert found.fits(dict(zip(places, ("routed:1", "duplicate", "dead"), strict=True)))
    assert not found.fits(dict(zip(places, ("duplicate", "routed:1", "dead"), strict=True)))
    assert not found.fits(dict(zip(places, ("routed:1", "routed:1", "dead"), strict=True)))


def test_of_records_in_several_partitions_any_may_be_the_first_but_one_alone() -> None:
    found = wanted(people(a_version()), a_request(), a_request(partition=5))
    here, there = (TOPIC, 0, 0), (TOPIC, 5, 0)
    assert found.fits({here: "routed:1", there: "duplicate"})
    assert found.fits({here: "duplicate", there: "routed:1"})
    assert not found.fits({here: "routed:1", there: "routed:1"})
    assert not found.fits({here: "duplicate", there: "duplicate"})


def test_a_request_may_expire_once_its_deadline_has_come_and_not_before() -> None:
    soon = "1970-01-01T00:01:50+00:00"
    expired = {(TOPIC, 0, 0): "expired"}
    assert wanted(people(a_version()), a_request(deadline=soon), decided=110.5).fits(expired)
    assert not wanted(people(a_version()), a_request(deadline=soon), decided=105.0).fits(expired)
    past = wanted(people(a_version()), a_request(deadline="1970-01-01T00:00:01+00:00"))
    assert past.fits(expired)
    assert not past.plans


def test_a_repeat_is_a_duplicate_whatever_its_deadline_once_the_first_was_decided() -> None:
    soon = "1970-01-01T00:01:50+00:00"
    found = wanted(people(a_version()), a_request(deadline=soon), a_request(1, at=200.0, deadline=soon))
    first, second = (TOPIC, 0, 0), (TOPIC, 0, 1)
    assert found.fits({first: "routed:1", second: "duplicate"})
    assert not found.fits({first: "routed:1", second: "expired"})
    assert found.fits({first: "expired", second: "expired"})
    assert not found.fits({first: "expired", second: "duplicate"})
    assert found.fits({first: "expired", second: "duplicate"}, again={first}), "it was decided, and expired in a replay"


def test_by_a_clock_that_is_behind_a_request_may_have_been_in_time() -> None:
    asks = [a_request(offset, deadline="1970-01-01T00:00:01+00:00") for offset in (0, 1)]
    first, second = (ask.place for ask in asks)
    found = {first: "expired", second: "routed:1"}
    assert not wanted(people(a_version()), *asks).fits(found)
    behind = wanted(people(a_version()), asks[0], replace(asks[1], behind=True))
    assert behind.fits(found)
    assert behind.fits({first: "expired", second: "expired"})
    assert not behind.fits({first: "routed:1", second: "duplicate"})


def test_what_cannot_be_read_or_came_on_the_wrong_lane_can_only_be_dead() -> None:
    stray = [a_request(1, **{"class": "marketing"}), Record((TOPIC, 0, 2), b"{", 0.0), Record((TOPIC, 0, 3), None, 0.0)]
    stray += [a_request(4, schema=2), a_request(5, channels="pigeon"), a_request(6, channels=[])]
    assert oracle.expect(stray, people(), {}) == ({}, {record.place for record in stray})


def test_a_call_is_against_the_users_will_once_the_opt_out_must_be_known_and_until_the_next_opt_in() -> None:
    out, back = [{"channel": "*", "category": "*"}], [{"channel": "*", "category": "*", "out": False}]
    history = people(a_version(), a_version(2, sent=100.0, opt_outs=out), a_version(3, sent=200.0, opt_outs=back))
    refused = [history.refuse(ADA, "sms", "login", at) for at in (99.0, 102.0, 102.2, 199.0, 200.5)]
    assert refused == [False, False, True, True, False]
