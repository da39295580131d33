"""deliver: what may go is announced durably before its call; everything else ends, waits or goes back, and says so."""

from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import pytest

from agents.attempt import CUT_OFF, NOT_STARTED, Outcome
from agents.deliver import Last, abandon, bury_record, caller
from agents.policy import STALE_MS
from agents.provider import Message, Provider, Result
from agents.stage import Later, Outbox
from schemas import metrics, topics
from schemas.keys import address_suppression, partition_of, user_suppression
from schemas.records import Delivery
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason
from tables import preferences, suppressions
from tables.attempts import State
from tests.agents.world import (
    DAY,
    MARKETING,
    NOW,
    OTP,
    PARTITIONS,
    PHONE,
    RING,
    SENT,
    TEMPLATE,
    TWILIO,
    Delivering,
    Record,
    a_delivery,
    delivered,
    deliveries,
    id_of,
    steps,
    waiting,
    written,
)


def blocked(delivering: Delivering, key: bytes, on: bool = True) -> None:
    delivering.world.tables["suppressions"][key] = suppressions.pack(on, NOW)


def opted_out(delivering: Delivering, *scopes: str, since_ms: int = NOW) -> None:
    key = user_suppression("shop", "anna")
    delivering.world.tables["suppressions"][key] = suppressions.pack(bool(scopes), since_ms, scopes)


def test_an_attempt_is_written_before_its_call_which_carries_the_rendered_message() -> None:
    delivering, delivery = Delivering(), a_delivery()
    work = delivering.announce(delivery, 5)
    latest = delivering.latest(delivery)
    assert (latest.state, latest.round, latest.number, latest.offset) == (State.STARTED, 1, 1, 5)
    assert (latest.provider, latest.started_ms) == ("twilio", NOW)
    message = work.message
    assert (message.address, message.parts, message.ttl_s) == (PHONE, {"body": "Order 4711"}, DAY / 1000)
    assert message.deadline_s * 1000 == NOW + DAY
    assert message.ref == f"{id_of()}.sms.1.1"
    assert message.collapse_key == id_of()


@pytest.mark.parametrize(("left_ms", "ttl_s", "deadline_s"), [(1, 1.0, 1), (999, 1.0, 1), (2999, 2.999, 2)])
def test_a_provider_is_told_whole_seconds_that_never_lie_in_the_past(
    left_ms: int, ttl_s: float, deadline_s: int
) -> None:
    message = Delivering().announce(a_delivery(deadline_ms=NOW + left_ms)).message
    assert (message.ttl_s, message.deadline_s) == (ttl_s, NOW // 1000 + deadline_s)


def test_nothing_but_the_attempt_is_written_before_a_call() -> None:
    later, outbox = Delivering().run(delivered(a_delivery()))
    assert (later, outbox.records, len(outbox.calls)) == (None, [], 1)


def test_past_its_deadline_a_delivery_is_expired_and_says_so() -> None:
    _, outbox = Delivering().run(delivered(a_delivery(message_class=OTP, deadline_ms=NOW)))
    assert outbox.calls == []
    assert steps(outbox) == [("expired", "past_deadline")]
    assert outbox.tally == {(metrics.ENDS, ("high", "sms", "expired", "past_deadline")): 1}


@pytest.mark.parametrize("scope", ["sms", "*"])
def test_a_suppressed_address_is_not_called(scope: str) -> None:
    delivering, delivery = Delivering(), a_delivery()
    blocked(delivering, address_suppression("shop", delivery.address_hash, scope))
    assert steps(delivering.run(delivered(delivery))[1]) == [("suppressed", "address_suppressed")]


@pytest.mark.parametrize("channel", ["sms", "*"])
@pytest.mark.parametrize("category", ["orders", "*"])
def test_an_opt_out_by_user_channel_and_category_is_in_force(channel: str, category: str) -> None:
    delivering = Delivering()
    opted_out(delivering, f"{channel}/{category}")
    _, outbox = delivering.run(delivered(a_delivery()))
    assert (outbox.calls, steps(outbox)) == ([], [("suppressed", "opted_out")])


def test_a_suppression_of_others_or_one_lifted_forbids_nothing() -> None:
    delivering, delivery = Delivering(), a_delivery()
    blocked(delivering, address_suppression("bank", delivery.address_hash, "sms"))
    blocked(delivering, address_suppression("shop", delivery.address_hash, "email"))
    opted_out(delivering, "email/*", "sms/news")
    assert delivering.announce(delivery)


def test_an_opt_out_older_than_any_decision_that_goes_forbids_nothing() -> None:
    delivering = Delivering()
    opted_out(delivering, "*/*", since_ms=NOW - suppressions.OPT_OUTS_FOR_MS - 1)
    assert delivering.announce(a_delivery())


def test_a_stale_decision_goes_back_through_route_as_a_new_round_with_all_that_was_asked() -> None:
    deadline = NOW + DAY
    old = a_delivery(decided_at_ms=NOW - STALE_MS - 1, accepted_ms=NOW - 4 * DAY, deadline_ms=deadline, round=2)
    delivering = Delivering()
    _, outbox = delivering.run(delivered(old))
    assert outbox.calls == []
    ((topic, key, value, *_),) = outbox.records
    assert (topic, key) == ("returns.high", b"anna")
    world = delivering.world.knows()
    back = Record(topic, partition_of(b"anna", PARTITIONS), 0, NOW, key, value)
    (again,) = deliveries(world.route(back))
    assert (again.notification_id, again.round, again.attempt, again.decided_at_ms) == (id_of(), 3, 1, NOW)
    assert (again.deadline_ms, again.accepted_ms) == (deadline, NOW - 4 * DAY)
    assert RING.open(again.params, id_of().encode()) == b'{"number":"4711"}'
    assert delivering.announce(a_delivery(decided_at_ms=NOW - STALE_MS))


def test_a_template_that_is_missing_or_bad_ends_the_delivery() -> None:
    for shelf, reason in (({}, "no_template"), ({"order": Reason.BAD_TEMPLATE}, "bad_template")):
        _, outbox = Delivering(shelf=dict(shelf)).run(delivered(a_delivery()))
        assert (outbox.calls, steps(outbox)) == ([], [("dead", reason)])
        assert [letter["cause"] for letter in written(outbox, topics.DEAD_LETTERS)] == [reason]


def test_a_template_that_is_unavailable_is_asked_for_again_in_a_second_as_the_same_attempt() -> None:
    delivering = Delivering(shelf={"order": Reason.TEMPLATE_UNAVAILABLE})
    later, outbox = delivering.run(delivered(a_delivery()))
    ((room, to, due, body),) = waiting(outbox)
    assert (later, room, to, due) == (None, "1s", "sms_notifications.high", NOW + 1000)
    assert (body["notification_id"], body.get("attempt", 1)) == (id_of(), 1)
    delivering.shelf["order"] = TEMPLATE
    assert delivering.announce(msgspec.convert(body, Delivery), 6)


def test_a_template_under_way_hands_the_rest_of_the_batch_back_once() -> None:
    delivering = Delivering(shelf={"order": TEMPLATE, "slow": None})
    ready, slow = delivered(a_delivery(), 0), delivered(a_delivery(template_id="slow", notification_id=id_of("2")), 1)
    broken = Record(ready.topic, 0, 2, NOW, b"id", b"{")
    later, outbox = delivering.run(ready, slow, broken)
    assert isinstance(later, Later)
    assert (later.index, len(outbox.calls)) == (1, 1)
    assert outbox.records == [], "the broken one is read again, and buried then"


def test_templates_of_one_batch_are_fetched_at_the_same_time() -> None:
    class Shelf(Delivering):
        asked: ClassVar[list[str]] = []

        def peek(self, template_id: str, version: int | None) -> None:
            self.asked.append(template_id)

    names = ["one", "two", "three"]
    batch = [delivered(a_delivery(template_id=name, notification_id=id_of(name)), n) for n, name in enumerate(names)]
    later, _ = Shelf().run(*batch)
    assert isinstance(later, Later)
    assert (later.index, set(Shelf.asked)) == (0, set(names))


def test_params_that_a_template_lacks_end_the_delivery_without_a_call() -> None:
    delivering = Delivering()
    _, outbox = delivering.run(delivered(a_delivery(params={"other": "x"})))
    assert (outbox.calls, steps(outbox)) == ([], [("dead", "bad_template")])


def of_a_foreign_ring(part: str, **changes: Any) -> Delivery:
    foreign = KeyRing({1: bytes(32)}, bytes(32))
    sealed = {"params": (b"{}", id_of().encode()), "address": (PHONE.encode(), preferences.context("shop", "anna"))}
    delivery = a_delivery(**changes)
    setattr(delivery, part, foreign.seal(*sealed[part]))
    return delivery


@pytest.mark.parametrize("part", ["params", "address"])
def test_what_does_not_open_waits_with_an_alarm_as_the_same_attempt_and_is_not_dead(part: str) -> None:
    delivering = Delivering()
    _, outbox = delivering.run(delivered(of_a_foreign_ring(part, attempt=2)))
    ((room, to, due, body),) = waiting(outbox)
    assert (outbox.calls, len(outbox.records), len(delivering.world.tables["attempts"])) == ([], 1, 0)
    assert (room, to, due) == ("30s", "sms_notifications.high", NOW + 30_000)
    assert (body["attempt"], body["notification_id"]) == (2, id_of())
    assert outbox.tally == {(metrics.UNDECRYPTABLE, ("deliver.sms.high",)): 1}


def test_what_waited_for_its_key_goes_once_a_process_has_it() -> None:
    delivering, delivery = Delivering(), a_delivery()
    delivering.ring = KeyRing({1: bytes(32)}, bytes(32))
    ((_, _, _, body),) = waiting(delivering.run(delivered(delivery, 0))[1])
    delivering.ring = RING
    work = delivering.announce(msgspec.convert(body, Delivery), 1)
    assert (work.message.address, work.message.ref) == (PHONE, f"{id_of()}.sms.1.1")


def test_what_does_not_open_until_its_deadline_expires_then_and_says_so() -> None:
    delivering, delivery = Delivering(), of_a_foreign_ring("params", deadline_ms=NOW + 20_000)
    ((_, _, due, _),) = waiting(delivering.run(delivered(delivery, 0))[1])
    assert due == NOW + 20_000
    delivering.world.clock.now = due
    assert steps(delivering.run(delivered(delivery, 1))[1]) == [("expired", "undecryptable")]


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b"[" * 50_000, b"{}"])
def test_a_record_that_cannot_be_read_is_buried_and_stops_nobody(value: bytes | None) -> None:
    _, outbox = Delivering().run(Record("sms_notifications.high", 0, 7, NOW, b"id", value), delivered(a_delivery(), 8))
    assert len(outbox.calls) == 1
    assert [letter["position"] for letter in written(outbox, topics.DEAD_LETTERS)] == ["sms_notifications.high/0/7"]
    assert written(outbox, topics.STATUSES)[0]["channel"] == "sms"


def test_a_delivery_on_which_the_stage_raised_is_told_as_its_end() -> None:
    delivery, outbox = a_delivery(), Outbox()
    bury_record(outbox, delivered(delivery, 7), "ValueError", NOW, RING)
    [status] = written(outbox, topics.STATUSES)
    assert (status["step"], status["reason"], status["channel"]) == ("dead", "stage_failed", "sms")
    assert (status["notification_id"], status["user_id"]) == (delivery.notification_id, delivery.user_id)
    assert (status["address_hash"], status["attempt"]) == (delivery.address_hash, delivery.attempt)


def test_a_repeat_on_which_the_stage_raised_is_told_as_unknown() -> None:
    outbox = Outbox()
    bury_record(outbox, delivered(a_delivery(possible_duplicate=True), 7), "ValueError", NOW, RING)
    assert steps(outbox) == [("unknown", "outcome_unknown")]


async def called(delivering: Delivering, work: Any, result: Result = SENT) -> tuple[Outcome, list[Message]]:
    made: list[Message] = []

    async def send(provider: Provider, message: Message, last: Last) -> Result:
        latest = last()
        if latest is not None:
            made.append(latest)
        return result

    return await caller(TWILIO, send, delivering.world.clock)(work, delivering.world.tables), made


async def test_a_call_is_made_once_and_its_outcome_says_when_it_began() -> None:
    delivering = Delivering()
    work = delivering.announce(a_delivery())
    delivering.world.clock.now += 7
    outcome, made = await called(delivering, work)
    message = replace(work.message, ttl_s=DAY / 1000 - 0.007)
    assert (made, outcome.result, outcome.called_ms, outcome.stopped) == ([message], SENT, NOW + 7, Reason.NONE)


async def test_an_opt_out_that_came_after_the_announcement_still_stops_the_call() -> None:
    delivering = Delivering()
    work = delivering.announce(a_delivery())
    opted_out(delivering, "sms/*")
    outcome, made = await called(delivering, work)
    assert (made, outcome.stopped, outcome.called_ms) == ([], Reason.OPTED_OUT, 0)
    assert steps(delivering.settle(outcome)) == [("suppressed", "opted_out")]


async def test_a_deadline_that_came_after_the_announcement_stops_the_call_too() -> None:
    delivering = Delivering()
    work = delivering.announce(a_delivery(deadline_ms=NOW + 10))
    delivering.world.clock.now += 10
    outcome, made = await called(delivering, work)
    assert (made, outcome.stopped) == ([], Reason.PAST_DEADLINE)
    assert steps(delivering.settle(outcome)) == [("expired", "past_deadline")]


def test_a_call_cut_off_may_have_sent_and_one_never_begun_has_not() -> None:
    work = Delivering().announce(a_delivery())
    assert abandon(work, started=True).result is CUT_OFF
    assert abandon(work, started=False).result is NOT_STARTED
    assert abandon(work, started=False).called_ms == 0


def test_a_call_never_begun_is_tried_again_and_spends_no_attempt() -> None:
    delivering = Delivering(lane=Lane.LOW)
    work = delivering.announce(a_delivery(message_class=MARKETING))
    ((_, to, _, body),) = waiting(delivering.settle(abandon(work, started=False)))
    assert (to, body["attempt"], body["unspent"]) == ("sms_notifications.low", 2, 1)
