from __future__ import annotations

import json

import pytest


def test_health_names_the_process(box):
    health = box.admin("GET", "/health")
    assert (health["status"], health["pid"]) == ("ok", box.process.pid)


def test_the_ledger_is_paged_from_an_index(box):
    since = box.total()
    for _ in range(3):
        box.sms()
    page = box.admin("GET", f"/admin/ledger?since={since}&limit=2")
    assert (page["total"], page["next"], len(page["rows"])) == (since + 3, since + 2, 2)
    rest = box.admin("GET", f"/admin/ledger?since={page['next']}")
    assert (rest["next"], len(rest["rows"])) == (since + 3, 1)


def test_counts_tell_read_accepted_and_answers(start):
    box = start()
    box.sms()
    box.sms(To="+15005550004")
    counts = box.admin("GET", "/admin/counts")
    assert counts["twilio"] == {"read": 2, "accepted": 1, "answers": {"201": 1, "400": 1}}
    assert (counts["fcm"]["read"], counts["ledger_total"]) == (0, 2)


def test_a_script_is_replaced_shown_and_forgotten(box):
    box.behave("twilio", {"then": "hang"}, {"then": "drip"})
    box.behave("twilio", {"then": "twilio_20429", "times": 3})
    box.sms()
    (rule,) = box.admin("GET", "/admin/behave")["twilio"]
    assert (rule["then"], rule["times"]) == ("twilio_20429", 2)
    assert box.admin("DELETE", "/admin/behave")["twilio"] == []
    assert box.sms().status == 201


def test_a_seed_repeats_the_draws_over_the_wire(box):
    def statuses():
        box.behave("twilio", {"rate": 0.5, "then": "twilio_20429"})
        box.admin("POST", "/admin/seed", {"seed": 11})
        return [box.sms().status for _ in range(20)]

    first = statuses()
    assert set(first) == {201, 429}
    assert statuses() == first


def test_a_refused_script_changes_nothing(box):
    box.behave("twilio", {"then": "twilio_20429"})
    wish = {"provider": "*", "rules": [{"then": "twilio_20500"}]}
    reply = box.call("POST", "/admin/behave", json.dumps(wish).encode())
    assert reply.status == 400
    assert "an answer of twilio, not of sendgrid" in reply.json()["error"]
    assert box.sms().status == 429


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/admin/behave", b"{", "no JSON"),
        ("POST", "/admin/behave", b"[]", "JSON object"),
        ("POST", "/admin/behave", b'{"provider": "vonage", "rules": []}', "must be twilio, sendgrid"),
        ("POST", "/admin/behave", b'{"provider": ["twilio"], "rules": []}', "must be twilio, sendgrid"),
        ("POST", "/admin/behave", b'{"provider": "twilio"}', "list of objects"),
        ("POST", "/admin/seed", b'{"seed": "x"}', "whole number"),
        ("GET", "/admin/ledger?since=-1", b"", "whole number from 0"),
        ("GET", "/admin/ledger?since=1&limit=x", b"", "whole number from 0"),
    ],
)
def test_a_wrong_wish_is_refused_with_words(box, method, path, body, words):
    reply = box.call(method, path, body)
    assert reply.status == 400
    assert words in reply.json()["error"]


@pytest.mark.parametrize("path", ["/", "/twiliox", "/healthy", "/admin"])
def test_an_unknown_place_is_404_and_names_the_known_ones(box, path):
    reply = box.call("GET", path)
    assert reply.status == 404
    assert "/admin/ledger" in reply.json()["error"]
