"""What the page says of the stage alone and of the lanes."""

from tests.report.drawn import part, rows


def test_what_a_process_takes_when_nothing_happens_is_told(text: str) -> None:
    found = part(text, "The whole pipeline")
    assert rows(found, "flows in the process") == [["flows in the process", "6"]]
    assert rows(found, "worker, % of a core") == [["worker, % of a core", "1.25"]]
    assert rows(found, "its broker, % of a core") == [["its broker, % of a core", "2.75"]]


def test_otps_are_told_quiet_beside_an_import_and_beside_the_backlog(text: str) -> None:
    found = part(text, "OTPs and opt-outs beside a backlog of marketing")
    assert rows(found, "quiet") == [["quiet", "21.5", "31.5", "41.5", "750", "0"]]
    amid = "while 40,000 users are imported"
    assert rows(found, amid) == [[amid, "31.5", "81.5", "95.5", "500", "1"]]
    beside = "while a backlog of 900,000 drains"
    assert rows(found, beside) == [[beside, "22.5", "52.5", "72.5", "2,998", "2"]]
    assert "Checks that turned red: otp_busy_lost." in found


def test_opt_outs_are_told_with_what_was_waiting(text: str) -> None:
    found = part(text, "OTPs and opt-outs beside a backlog of marketing")
    assert rows(found, "users watched") == [["users watched", "3"]]
    assert [row[1] for row in rows(found, "last call after an opt-out, at worst, s")] == ["0.75"]
    assert rows(found, "to be routed") == [["to be routed", "456,789", "0"]]
    assert rows(found, "to be delivered by SMS") == [["to be delivered by SMS", "123,456", "98,765"]]


def test_runs_of_the_pipeline_stand_one_under_the_other_with_what_the_rest_took(text: str) -> None:
    found = part(text, "The whole pipeline")
    earlier, later = rows(found, "2026-01-01T00:00:00Z, `abc1234`"), rows(found, "2026-01-02T03:04:05Z, `abc1234`")
    assert [row[1:5] for row in (*earlier, *later)] == [
        ["2,500", "1,925", "41.5", "83.5"],
        ["2,750", "1,925", "41.5", "83.5"],
    ]
    assert later[0][5:] == ["320", "150", "40"]
