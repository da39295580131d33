"""What a worker writes to stderr: lines of JSON, and none of them a hundred times."""

import json
import logging
import subprocess
import sys

import pytest

from flows import logs


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repeats(clock: Clock) -> logs.Repeats:
    return logs.Repeats(clock)


def record(
    msg: str = "store_refused", level: int = logging.WARNING, name: str = "carillon.record", **extra: object
) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "levelno": level, "levelname": "X", "msg": msg, **extra})


def test_of_a_kind_the_first_is_written_and_then_one_a_minute_that_says_how_many_were_not(
    repeats: logs.Repeats, clock: Clock
) -> None:
    written = []
    for second in range(121):
        clock.now = float(second)
        found = record("Unable connect to node with id %s: %s", name="aiokafka", args=(second, "refused"))
        if repeats.filter(found):
            written.append(json.loads(logs.JsonLines().format(found)))
    assert [line.get("suppressed") for line in written] == [None, 59, 59]
    assert [line["event"].split(":")[0] for line in written] == [
        f"Unable connect to node with id {second}" for second in (0, 60, 120)
    ]


def test_another_event_logger_level_table_row_or_flow_is_another_kind(repeats: logs.Repeats) -> None:
    kinds = [
        record(table="Logs"),
        record(table="Preferences"),
        record("row_refused"),
        record("row_set_aside", table="Logs", row="one"),
        record("row_set_aside", table="Logs", row="two"),
        record("stage_raised", flow="route.high"),
        record("stage_raised", flow="route.low"),
        record(name="carillon.engine"),
        record(level=logging.ERROR),
    ]
    assert all(repeats.filter(found) for found in kinds)
    assert not any(repeats.filter(found) for found in kinds)


def test_what_happened_what_ends_a_process_and_changes_of_state_are_always_written(repeats: logs.Repeats) -> None:
    for _ in range(3):
        assert repeats.filter(record("flow_ready", logging.INFO))
        assert repeats.filter(record("fail_stop", logging.CRITICAL))
        assert repeats.filter(record("dependency_lost", name="carillon.dependencies"))


def test_kinds_that_were_told_long_ago_are_forgotten(repeats: logs.Repeats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_KINDS", 3)
    for number in range(10):
        assert repeats.filter(record(f"a message with its number {number} in it"))
    assert len(repeats._kinds) == 3


def test_a_library_writes_json_too_when_it_warns(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import warnings; from flows import logs; logs.configure(); warnings.warn('old')"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert [json.loads(line)["logger"] for line in capfd.readouterr().err.splitlines()] == ["py.warnings"]
