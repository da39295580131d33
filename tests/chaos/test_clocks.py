"""What a clock that is wrong leaves in the ledgers, and the audit must not take for a fault of the engine's."""

import pytest
from one_otp import TOPIC, T, a_call, a_decision, a_move, a_preference, a_request, a_run, digest, with_rows
from pipeline_audit import examine

pytestmark = pytest.mark.usefixtures("index_key")


def test_what_a_clock_that_is_behind_tells_to_have_expired_may_have_done_so_by_the_clock_before() -> None:
    run = a_run()
    run.calls, run.told[1] = [], a_move("expired", reason="past_deadline", at_ms=int(T * 1000) + 50)
    assert set(examine(with_rows(run)).faults) == {"ended_without_cause"}
    run.told[1] = a_move("expired", reason="past_deadline", at_ms=int(T * 1000) - 3_600_000)
    assert examine(with_rows(run)).faults == {}


def test_what_expired_by_a_clock_ahead_may_be_told_again_by_one_that_is_right() -> None:
    run, later_ms = a_run(), int(T * 1000) + 60_000
    run.calls, run.told[1] = [], a_move("expired", reason="past_deadline", at_ms=later_ms)
    assert set(examine(with_rows(run)).faults) == {"ended_without_cause"}
    run.told.insert(1, a_move("expired", reason="past_deadline", at_ms=later_ms + 3_600_000))
    assert examine(with_rows(run)).faults == {}


def test_what_a_clock_ahead_told_to_be_held_is_held_no_more_once_it_was_routed() -> None:
    run, hour_ms = a_run(), 3_600_000
    run.told.insert(0, a_decision("held", at_ms=int(T * 1000) + hour_ms))
    assert "held_for_ever" not in examine(with_rows(run)).faults
    run.told.append(run.told.pop(0))
    assert "held_for_ever" in examine(with_rows(run)).faults


def test_where_a_clock_ahead_let_a_request_expire_the_words_are_those_of_the_next() -> None:
    run, hour_ms = a_run(), 3_600_000
    run.accepted.append(a_request(1, params={"code": "8"}))
    run.ends[TOPIC, 0] = 2
    run.told = [a_decision("expired", at_ms=int(T * 1000) + hour_ms), a_decision(offset=1, deliveries=1), a_move()]
    run.calls = [a_call(body_hash=digest("Code 8"))]
    assert examine(with_rows(run)).faults == {}
    run.calls = [a_call(body_hash=digest("Code 9"))]
    assert set(examine(with_rows(run)).faults) == {"wrong_body"}


def test_an_opt_out_told_of_by_a_clock_that_is_behind_may_have_come_whenever_it_did() -> None:
    run = a_run()
    an_hour_ago = int(T * 1000) - 3_600_000
    run.calls, run.told[1] = [], a_move("suppressed", reason="opted_out", at_ms=an_hour_ago)
    assert set(examine(with_rows(run)).faults) == {"ended_without_cause"}
    run.accepted.append(a_preference(2, at=T + 30, opt_outs=[{"channel": "sms", "category": "login"}]))
    assert examine(with_rows(run)).faults == {}
