import json
from pathlib import Path

import pytest
from accepted import Entry
from recovery import due_times, recovered_s, series

from schemas.keys import notification_id
from schemas.vocabulary import Lane

BEGAN = 1_000.0


def id_of(key: str) -> str:
    return notification_id("acme", Lane.HIGH, "ada", key)


def call(key: str, at: float, attempt: int = 1) -> dict[str, object]:
    return {"ref": f"{id_of(key)}.sms.0.{attempt}", "t": at}


def test_a_second_shows_how_late_what_was_due_in_it_was_called_first() -> None:
    due = {id_of("a"): BEGAN + 0.1, id_of("b"): BEGAN + 0.2, id_of("c"): BEGAN + 1.5}
    calls = [call("a", BEGAN + 0.2), call("b", BEGAN + 3.2), call("b", BEGAN + 4.0, 2), call("c", BEGAN + 1.6)]
    rows = series(due, calls, BEGAN)
    assert [(row["due"], row["called"]) for row in rows] == [(2, 1), (1, 1), (0, 0), (0, 1), (0, 1)]
    assert rows[0]["p99_ms"] == pytest.approx(3000, abs=1)
    assert rows[1]["p99_ms"] == pytest.approx(100, abs=1)
    assert rows[0]["p99_ms_by_channel"] == {"push": 0.0, "sms": pytest.approx(3000, abs=1), "email": 0.0}


def test_recovered_is_when_two_seconds_in_a_row_are_prompt_again_counted_from_the_healing() -> None:
    rows = [{"second": second, "p99_ms": 900.0 if second in (3, 4, 6, 10) else 20.0} for second in range(14)]
    assert recovered_s(rows, 2.2, 2.2, 14.0) == pytest.approx(4.8)
    assert recovered_s(rows, 2.2, 9.0, 14.0) == 0.0
    assert recovered_s(rows, 7.5, 7.5, 10.0) == 0.0
    assert recovered_s(rows, 3.0, 3.0, 5.0) == pytest.approx(2.0)


def test_only_what_the_high_lane_accepted_is_waited_for(tmp_path: Path) -> None:
    def line(key: str, kind: str, result: str = "ok", at: float = 5.0, user: str = "ada") -> str:
        asked = {"tenant": "acme", "user_id": user, "idempotency_key": key, "class": kind}
        return entry(json.dumps(asked).encode(), result, at)

    def entry(value: bytes, result: str = "ok", at: float = 5.0) -> str:
        return Entry("request", 0, at, 6.0, result, "t", 0, 0, 6.0, "ada", value).line()

    lines = [line("a", "otp"), line("a", "otp", at=4.0), line("b", "otp", "info"), line("c", "marketing")]
    lines += [entry(b"\xff{"), line("e", "otp", user="nobody-1")]
    (tmp_path / "a").write_text("".join(lines))
    assert due_times(tmp_path / "a") == {id_of("a"): 4.0}
