from __future__ import annotations

import json
import signal
import time

import pytest

from deploy.sandbox.ledger import Ledger, LedgerError


def fill(ledger, *numbers):
    for number in numbers:
        ledger.add({"n": number})


def numbers(ledger, since=0, limit=None):
    return [row["n"] for row in json.loads(ledger.rows(since, limit)[0])]


@pytest.mark.parametrize("named", [True, False])
def test_rows_are_read_from_any_index(tmp_path, named):
    ledger = Ledger(tmp_path / "l.jsonl" if named else None)
    fill(ledger, 10, 11, 12)
    assert [numbers(ledger, since) for since in range(5)] == [[10, 11, 12], [11, 12], [12], [], []]
    assert numbers(ledger, 0, 2) == [10, 11]
    assert [ledger.rows(0, 2)[1], ledger.rows(1)[1], ledger.rows(9)[1], len(ledger)] == [2, 3, 3, 3]
    ledger.close()


def test_a_flush_puts_whole_lines_on_file(tmp_path):
    path = tmp_path / "l.jsonl"
    ledger = Ledger(path)
    fill(ledger, 1, 2)
    assert path.read_text() == ""
    ledger.flush()
    assert path.read_text() == '{"n":1}\n{"n":2}\n'
    ledger.close()


def test_a_ledger_goes_on_where_an_earlier_run_stopped(tmp_path):
    path = tmp_path / "l.jsonl"
    first = Ledger(path)
    fill(first, 1, 2)
    first.close()
    second = Ledger(path)
    fill(second, 3)
    assert numbers(second) == [1, 2, 3]
    second.close()


def test_a_torn_last_line_is_cut(tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text('{"n":1}\n{"n":')
    ledger = Ledger(path)
    fill(ledger, 2)
    assert numbers(ledger) == [1, 2]
    ledger.close()


def test_two_sandboxes_do_not_share_a_ledger(tmp_path):
    first = Ledger(tmp_path / "l.jsonl")
    with pytest.raises(LedgerError, match="another sandbox"):
        Ledger(tmp_path / "l.jsonl")
    first.close()


def test_an_impossible_file_is_refused_with_words(tmp_path):
    with pytest.raises(LedgerError, match="name a writable file"):
        Ledger(tmp_path)


def test_a_killed_sandbox_leaves_every_answered_row_and_takes_them_up_again(start, tmp_path):
    path = tmp_path / "l.jsonl"
    box = start("--ledger", str(path))
    sids = [box.sms().json()["sid"] for _ in range(50)]
    box.behave("twilio", {"then": "hang"})
    with pytest.raises(TimeoutError):
        box.sms(timeout=0.2)
    box.end(signal.SIGKILL)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == [*sids, None]
    again = start("--ledger", str(path))
    again.sms()
    assert [row["answer"] for row in again.rows(49)] == ["201", "hang", "201"]


def test_a_row_has_both_clocks_and_is_on_file_before_its_answer(start, tmp_path):
    path = tmp_path / "l.jsonl"
    box = start("--ledger", str(path))
    before, before_mono = time.time(), time.monotonic()
    box.sms()
    (row,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert before <= row["t"] <= time.time()
    assert before_mono <= row["t_mono"] <= time.monotonic()
    box.behave("twilio", {"latency_ms": 60_000})
    with pytest.raises(TimeoutError):
        box.sms(timeout=0.2)
    assert len(path.read_text().splitlines()) == 2
