from __future__ import annotations

import random
import statistics

import pytest

from deploy.sandbox.rules import Latency, RuleError, Script
from deploy.sandbox.twilio import Twilio


@pytest.fixture
def script():
    return Script(Twilio())


def load(script, *rules):
    script.rules = script.parse(list(rules))
    return script


def test_the_first_rule_that_matches_is_applied(script):
    load(script, {"match": {"ref": "a"}, "then": "hang"}, {"match": {"to_hash": "b"}, "then": "drip"}, {})
    assert script.choose("b", "a").then == "hang"
    assert script.choose("b", None).then == "drip"
    assert script.choose(None, None).then == "ok"


def test_a_rule_is_spent_after_its_times(script):
    load(script, {"times": 2, "then": "hang"})
    assert [script.choose(None, None) is not None for _ in range(3)] == [True, True, False]


def test_a_rule_that_does_not_match_is_not_spent(script):
    load(script, {"times": 1, "match": {"ref": "a"}, "then": "hang"})
    assert script.choose(None, "b") is None
    assert script.choose(None, "a") is not None


def test_the_rate_is_kept(script):
    load(script, {"rate": 0.25, "then": "hang"})
    script.seed(1)
    assert 900 < sum(script.choose(None, None) is not None for _ in range(4000)) < 1100


def test_the_same_seed_draws_the_same(script):
    def draws(seed):
        load(script, {"rate": 0.5, "then": "hang"})
        script.seed(seed)
        return [script.choose(None, None) is not None for _ in range(64)]

    assert draws(7) == draws(7)
    assert draws(7) != draws(8)


def test_latency_goes_through_both_percentiles():
    dice = random.Random(3)
    drawn = statistics.quantiles((Latency(120, 800).draw(dice) * 1000 for _ in range(20_000)), n=100)
    assert drawn[49] == pytest.approx(120, rel=0.05)
    assert drawn[98] == pytest.approx(800, rel=0.15)


def test_a_plain_latency_is_always_the_same():
    assert Latency(250).draw(random.Random(3)) == 0.25


def test_a_request_not_yet_read_is_cut_off_only_by_its_own_rule(script):
    load(script, {"then": "hang"}, {"then": "reset_before_read", "times": 1})
    assert [script.resets_before_read(), script.resets_before_read()] == [True, False]
    assert load(script, {"then": "reset_before_read"}).choose(None, None) is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("ok", "must be an object"),
        ({"then": "explode"}, "unknown .then.: explode; known are ok"),
        ({"then": ["ok"]}, "unknown .then."),
        ({"then": "fcm_429"}, "an answer of fcm, not of twilio"),
        ({"when": "now"}, "unknown when"),
        ({"rate": 2}, "from 0 to 1"),
        ({"rate": True}, "from 0 to 1"),
        ({"times": -1}, "times"),
        ({"latency_ms": {"p50": 1}}, "latency_ms"),
        ({"latency_ms": {"p50": 9, "p99": 1}}, "p99 must not be below p50"),
        ({"match": {"to": "+1"}}, "match"),
        ({"match": {"ref": "a"}, "then": "reset_before_read"}, "before it is read"),
        ({"then": "status"}, "needs a .status."),
        ({"then": "status", "status": 99}, "needs a .status."),
        ({"then": "status", "status": 400, "code": "abc"}, "none of twilio"),
        ({"then": "status", "status": 400, "headers": {"A": "b\r\nC: d"}}, "one line"),
        ({"accepted": 1}, "accepted"),
        ({"status": 503}, "status without effect"),
        ({"then": "html_502", "body": "x", "code": 1}, "body, code without effect"),
        ({"then": "hang", "headers": {"A": "b"}}, "headers without effect"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place_and_what_to_write(script, rule, words):
    with pytest.raises(RuleError, match=f"^rule 1: .*{words}"):
        script.parse([{}, rule])
