"""Which servers are lost, and what the log says of it."""

import logging

import pytest

from flows.engine.host.dependencies import SILENT_S, TELL_S, Dependencies


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    found = [(r.getMessage(), r.__dict__["dependency"], r.__dict__["setting"]) for r in caplog.records]
    caplog.clear()
    return found


def test_a_dependency_is_as_silent_as_the_flow_that_has_waited_longest_for_it_finds() -> None:
    asked = Dependencies([("kafka", lambda: 1.0), ("s3", lambda: 0.0), ("kafka", lambda: 3.5)])
    assert asked.look(0.0) == {"kafka": 3.5, "s3": 0.0}
    assert asked.lost() == {}


def test_one_that_is_silent_beyond_the_bound_is_lost_until_it_answers() -> None:
    silent = {"kafka": SILENT_S, "s3": SILENT_S + 2.0}
    asked = Dependencies([(name, lambda name=name: silent[name]) for name in silent])  # type: ignore[misc]
    asked.look(0.0)
    assert asked.lost() == {"s3": "has not answered for 12 s"}
    silent["s3"] = 0.0
    asked.look(1.0)
    assert asked.lost() == {}


def test_the_log_tells_a_loss_once_then_once_a_minute_and_the_return_once_naming_the_setting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    silent_s = 0.0
    asked = Dependencies([("kafka", lambda: silent_s)])
    asked.look(0.0)
    assert told(caplog) == []
    for second in range(int(TELL_S) + 5):
        silent_s = SILENT_S + 1 + second
        asked.look(float(second))
    assert told(caplog) == [
        (event, "kafka", "CARILLON_KAFKA") for event in ("dependency_lost", "dependency_still_lost")
    ]
    silent_s = 0.0
    asked.look(100.0)
    asked.look(101.0)
    assert told(caplog) == [("dependency_back", "kafka", "CARILLON_KAFKA")]
