"""The look at what workers show finds what is planted there, and nothing where nothing is."""

import json
from itertools import islice

import pytest
from accepted import Entry
from leaks import leaks, of_load, of_settings
from traffic import events, preferences

LINE = '{"at": "2026-11-28T19:55:23.304Z", "event": "flow_ready", "user": "user-1-4", "partitions": 32}\n'


def an_entry(kind: str, value: bytes | None) -> Entry:
    return Entry(kind, 1, 1.0, 1.0, "ok", "topic", 0, 0, 1.0, "key", value)


def hidden() -> set[str]:
    people = [an_entry("preference", json.dumps(person).encode()) for person in preferences(1, 20)]
    asked = [an_entry("request", value) for _, _, value, _ in islice(events(1, None, 20), 300)]
    settings = {"CARILLON_KEYS": "1:c2VjcmV0IG1hdGVyaWFs", "CARILLON_KAFKA": "kafka:9092"}
    return of_load([*people, *asked]) | of_settings(settings)


def test_a_log_of_ids_and_names_shows_nothing() -> None:
    assert not list(leaks({"high-a.1.log": LINE * 10, "high-a /metrics": 'sent_total{lane="high"} 123456.0'}, hidden()))


def test_every_kind_of_secret_is_known() -> None:
    begin = ("49150000", "user", "device-", "pin-", "key-1-", "c2VjcmV0")
    assert {start for start in begin if any(secret.startswith(start) for secret in hidden())} == set(begin)
    assert "1:c2VjcmV0IG1hdGVyaWFs" not in hidden()


@pytest.mark.parametrize("start", ["pin-", "49150000", "device-", "key-1-", "c2VjcmV0"])
def test_a_secret_planted_in_a_log_is_found_where_it_is(start: str) -> None:
    secret = max(found for found in hidden() if found.startswith(start))
    shown = {"high-a.1.log": LINE, "low-a.1.log": f'{LINE}Traceback: Code {secret}."'}
    assert ("low-a.1.log", secret) in list(leaks(shown, hidden()))
    assert not list(leaks({"high-a.1.log": LINE}, hidden()))


def test_an_address_is_found_in_a_url_too() -> None:
    shown = {"a.log": "POST /send?to=%2B491500000003&copy=user3%40example.org"}
    known = {"491500000003", "user3@example.org"}
    assert list(leaks(shown, known)) == [("a.log", "491500000003"), ("a.log", "user3@example.org")]
