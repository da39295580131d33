"""Each check of the audit, seen red over ledgers made by hand: one OTP by SMS that went as it should, then did not."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from harness import BROKEN_TEMPLATE_ID
from hurts import Hurt
from ledgers import Ledgers, hash_of
from one_otp import (
    CHANNEL,
    ID,
    TOPIC,
    T,
    a_call,
    a_decision,
    a_delivery,
    a_move,
    a_preference,
    a_request,
    a_run,
    an_otp_sent_again,
    digest,
    with_rows,
)
from pipeline_audit import examine

pytestmark = pytest.mark.usefixtures("index_key")


def broken(change: Callable[[Ledgers], object]) -> set[str]:
    """The checks that are red over a run after a change, its rows as its statuses would have them."""
    run = a_run()
    change(run)
    return set(examine(with_rows(run)).faults)


def test_a_run_in_which_all_went_well_is_green() -> None:
    assert examine(a_run()).faults == {}


BREAKS: list[tuple[str, Callable[[Ledgers], object], set[str]]] = [
    ("nothing was done", lambda run: (run.told.clear(), run.calls.clear(), run.waiting.clear()), {"undecided", "lost"}),
    ("a repeat was not decided", lambda run: run.ends.update({(TOPIC, 0): 2}), {"undecided"}),
    ("what nobody wrote was decided", lambda run: run.told.append(a_decision(offset=9)), {"decided_unasked"}),
    (
        "a hostile preference has no dead letter",
        lambda run: run.accepted.append(replace(a_preference(9), kind="hostile")),
        {"hostile_without_a_dead_letter"},
    ),
    (
        "a hostile request was routed",
        lambda run: run.accepted.__setitem__(1, replace(run.accepted[1], kind="hostile")),
        {"hostile_without_a_dead_letter", "decided_otherwise", "phantom", "written_unasked", "ended_unasked"},
    ),
    (
        "a broken template was sent",
        lambda run: run.accepted.__setitem__(1, a_request(template_id=BROKEN_TEMPLATE_ID)),
        {"sent_by_a_broken_template"},
    ),
    ("the broker lost a record", lambda run: run.ends.clear(), {"accepted_but_not_in_the_log", "decided_unasked"}),
    (
        "a sound request was suppressed",
        lambda run: (run.told.__setitem__(slice(None), [a_decision("suppressed")]), run.calls.clear()),
        {"decided_otherwise", "attempts_untold"},
    ),
    (
        "the decision changed when told again",
        lambda run: run.told.insert(0, a_decision("duplicate", at_ms=0)),
        {"decided_twice"},
    ),
    (
        "an unknown user's request was held for ever",
        lambda run: (run.accepted.pop(0), run.told.__setitem__(slice(None), [a_decision("held")]), run.calls.clear()),
        {"held_for_ever", "lost", "written_unasked", "attempts_untold"},
    ),
    (
        "a request came back that was never held",
        lambda run: (
            run.told.append(a_decision(deliveries=1, place=("returns.high", 0, 0))),
            run.ends.update({("returns.high", 0): 1}),
        ),
        {"returned_unasked"},
    ),
    (
        "what cannot be read was routed",
        lambda run: run.accepted.__setitem__(1, replace(a_request(), value=b"{")),
        {"decided_otherwise", "written_unasked", "ended_unasked", "phantom"},
    ),
    (
        "a delivery was not written",
        lambda run: run.waiting.__setitem__(0, replace(a_delivery(), id="x")),
        {"routed_but_not_written", "written_unasked", "attempts_untold"},
    ),
    (
        "an attempt left no word",
        lambda run: run.told.pop(),
        {"attempts_untold", "not_ended", "called_but_not_ended_so"},
    ),
    ("a retry was told of and not written", lambda run: run.told.append(a_move("retrying", at_ms=0)), {"retries_lost"}),
    ("a delivery ended twice", lambda run: run.told.append(a_move("dead")), {"ended_twice", "ended_without_cause"}),
    (
        "somebody else's delivery ended",
        lambda run: run.told.append(a_move(address_hash="other")),
        {"ended_unasked", "sent_without_a_call"},
    ),
    (
        "it expired too soon",
        lambda run: run.told.__setitem__(1, a_move("expired")),
        {"ended_without_cause", "called_but_not_ended_so"},
    ),
    (
        "it was buried without a refusal",
        lambda run: run.told.__setitem__(1, a_move("dead")),
        {"ended_without_cause", "called_but_not_ended_so"},
    ),
    (
        "it was suppressed without an opt-out",
        lambda run: run.told.__setitem__(1, a_move("suppressed")),
        {"ended_without_cause", "called_but_not_ended_so"},
    ),
    (
        "its outcome was unknown for no reason",
        lambda run: run.told.__setitem__(1, a_move("unknown")),
        {"ended_without_cause", "unknown_not_buried"},
    ),
    ("a call for nobody", lambda run: run.calls.append(a_call(id="other")), {"phantom", "called_but_not_ended_so"}),
    (
        "another person was called",
        lambda run: run.calls.append(a_call(2, to_hash=digest("+1"))),
        {"wrong_recipient", "called_but_not_ended_so"},
    ),
    (
        "the words were another's",
        lambda run: run.calls.__setitem__(0, a_call(body_hash=digest("Code 8"))),
        {"wrong_body"},
    ),
    (
        "it was called past its deadline",
        lambda run: run.calls.__setitem__(0, a_call(at=302.0)),
        {"called_after_deadline"},
    ),
    ("it was said to be sent and was not", lambda run: run.calls.clear(), {"sent_without_a_call"}),
    (
        "one attempt was called twice",
        lambda run: run.calls.append(a_call(at=0.06)),
        {"one_attempt_called_twice", "repeats_unexplained", "repeats_unflagged"},
    ),
    (
        "it was called again for no reason",
        lambda run: run.calls.append(a_call(2, at=0.06)),
        {"repeats_unexplained", "repeats_unflagged"},
    ),
]


@pytest.mark.parametrize(("change", "red"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS])
def test_the_audit_is_red_where_it_should_be_when(change: Callable[[Ledgers], object], red: set[str]) -> None:
    assert broken(change) == red


def test_a_repeat_of_the_producer_that_gets_through_is_told_from_others() -> None:
    run = a_run()
    run.accepted.append(a_request(1))
    run.ends[TOPIC, 0] = 2
    run.told.append(a_decision("duplicate", 1))
    assert examine(run).faults == {}
    run.calls.append(a_call(2, at=0.06))
    assert set(examine(run).faults) == {"repeats_by_the_producer", "repeats_unflagged"}


def test_an_opt_out_must_be_heeded_after_two_seconds_and_a_fault_excuses_its_time() -> None:
    run = a_run()
    run.accepted.append(a_preference(2, at=T + 0.01, opt_outs=[{"channel": "sms", "category": "login"}]))
    run.calls = [a_call(at=1.9)]
    assert examine(with_rows(run)).faults == {}
    run.calls = [a_call(at=2.1)]
    assert set(examine(run).faults) == {"called_after_opt_out"}
    assert examine(run, [Hurt(T + 1, "kill", "high")]).faults == {}


def test_an_end_without_a_call_is_right_where_the_user_opted_out_meanwhile() -> None:
    run = a_run()
    run.accepted.append(a_preference(2, at=T + 0.01, opt_outs=[{"channel": "sms", "category": "login"}]))
    run.calls, run.told[1] = [], a_move("suppressed", reason="opted_out")
    assert examine(with_rows(run)).faults == {}


def test_an_otp_whose_provider_broke_off_may_go_once_more() -> None:
    found = examine(an_otp_sent_again(answer="accept_then_reset"))
    assert found.faults == {}
    assert found.figures["repeats"]["unknown outcome"] == 1


def test_an_otp_that_a_kill_cut_off_may_go_once_more_and_is_counted_to_that_kill() -> None:
    found = examine(an_otp_sent_again(), [Hurt(T + 0.06, "kill", "high")])
    assert found.faults == {}
    assert found.figures["repeats"]["crash window"] == found.figures["repeats_per_hurt_at_most"] == 1


def test_an_otp_that_goes_again_though_its_answer_was_plain_and_nothing_struck_is_a_fault() -> None:
    assert set(examine(an_otp_sent_again()).faults) == {"repeats_unexplained"}


def test_an_end_that_was_told_and_forgotten_in_a_crash_is_followed_by_unknown_and_excused_by_that_crash_alone() -> None:
    run = a_run()
    again = a_move("unknown", at_ms=int(T * 1000) + 5_000)
    run.told.append(again)
    run.buried.add((ID, "sms"))
    crash = Hurt(T + 1.0, "kill", "high")
    assert set(examine(with_rows(run), [crash]).faults) == set()
    assert examine(with_rows(run), [crash]).figures["ends_forgotten_in_a_crash"] == 1
    for other in ([], [Hurt(T + 1.0, "broker")], [Hurt(T + 20.0, "kill", "high")]):
        assert "ended_twice" in examine(with_rows(run), other).faults


def test_what_was_held_may_return_without_having_been_told_where_a_crash_had_it_decided_anew() -> None:
    run = a_run()
    run.told.append(a_decision("duplicate", place=("returns.high", 0, 0), at_ms=int(T * 1000) + 2000))
    run.ends[("returns.high", 0)] = 1
    assert "returned_unasked" in examine(run).faults
    assert "returned_unasked" not in examine(run, [Hurt(T + 1, "kill", "w1")]).faults


def test_a_repeat_that_is_not_flagged_is_a_fault_even_after_a_kill() -> None:
    found = examine(an_otp_sent_again(flagged=False), [Hurt(T + 0.06, "kill", "high")])
    assert set(found.faults) == {"repeats_unexplained", "repeats_unflagged"}


def test_what_is_not_an_otp_never_goes_again() -> None:
    run = an_otp_sent_again(answer="accept_then_reset")
    run.accepted[1] = a_request(**{"class": "billing"})
    assert set(examine(run).faults) == {"repeats_forbidden"}


def test_a_kill_may_leave_no_more_unknown_than_its_worker_had_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sent.IN_FLIGHT", 0)
    found = examine(an_otp_sent_again(), [Hurt(T + 0.06, "kill", "high")])
    assert set(found.faults) == {"repeats_too_many"}


def test_rows_must_be_there_be_asked_for_and_say_what_the_statuses_say() -> None:
    run = a_run()
    run.rows = {"other": run.rows[ID]}
    assert set(examine(run).faults) == {"rows_missing", "rows_unasked"}
    run = a_run()
    run.rows[ID]["step"] = "routed"
    assert set(examine(run).faults) == {"rows_that_differ"}
    assert examine(run, store=False).faults == {}


def test_the_stores_preferences_must_be_those_of_the_last_version() -> None:
    run = a_run()
    run.channels = {("acme/ada", "sms"): (False, 1), ("acme/ada", "email"): (False, 1), ("acme/bob", "push"): (True, 1)}
    red = {"preferences_missing", "preferences_unasked", "preferences_that_differ"}
    assert set(examine(run).faults) == red


def test_who_moves_meanwhile_is_called_at_one_address_even_where_a_crash_had_it_decided_anew() -> None:
    moved = "+4915000000002"
    run = a_run()
    run.accepted.append(a_preference(2, at=T - 0.01, addresses=[{"channel": "sms", "address": moved}]))
    run.waiting.append(replace(a_delivery(), place=(CHANNEL, 3, 1), address_hash=hash_of("acme", moved)))
    assert examine(with_rows(run)).faults == {}, "a replay wrote it once more, and deliver dropped it"
    run.told.append(a_move(address_hash=hash_of("acme", moved)))
    run.calls.append(a_call(at=1.0, to_hash=digest(moved)))
    for hurts in ([], [Hurt(T + 0.5, "kill", "high")]):
        assert set(examine(with_rows(run), hurts).faults) == {"called_at_two_addresses"}


def test_a_record_whose_fate_nobody_knows_counts_only_if_it_lies_in_the_log() -> None:
    run = a_run()
    run.accepted.append(replace(a_request(1), result="info", offset=-1, partition=-1))
    found = examine(run)
    assert found.faults == {}
    assert found.figures["accepted_perhaps"] == 1
