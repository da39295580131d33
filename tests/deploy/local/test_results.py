"""What a run leaves for later."""

import json
import os
import sys
from pathlib import Path

import pytest

from deploy.local import results


@pytest.fixture(autouse=True)
def run_of_my_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script called with an argument, in an environment with another, which leaves its result in `tmp_path`."""
    monkeypatch.setattr(results, "_asked", {})
    monkeypatch.setattr(sys, "argv", ["/somewhere/tests/bench/route.py", "EVENTS=500", "PEERS=quix lean"])
    monkeypatch.setenv("USERS", "40")
    monkeypatch.delenv("AS", raising=False)
    monkeypatch.setenv("RESULTS", str(tmp_path))


def test_an_option_is_taken_from_the_command_line_or_the_environment_or_has_its_default() -> None:
    assert results.option("EVENTS", 1) == 500
    assert results.option("USERS", 1) == 40
    assert results.option("RUNS", 3) == 3
    assert results.text("PEERS", "all") == "quix lean"


def test_a_result_tells_its_options_and_what_its_figures_depend_on(tmp_path: Path) -> None:
    run = results.Run("bench", "route")
    assert results.option("EVENTS", 1) + results.option("USERS", 1) + results.option("RUNS", 3) == 543
    results.text("PEERS", "all")
    told = run.keep({"cpu_us": 9.5})
    left = json.loads((tmp_path / "bench" / "route.json").read_text())
    assert left["command"] == "route.py EVENTS=500 USERS=40 RUNS=3 'PEERS=quix lean'"
    assert left["cpu_us"] == told["cpu_us"] == 9.5
    assert left["machine"]["cores"] == os.cpu_count()
    assert left["versions"]["python"].startswith("3.11.")
    assert left["versions"]["kafka"][0].isdigit()
    about_the_machine = ("load_before", "load_after", "pace_ms_before", "pace_ms_after")
    assert {name: told[name] for name in about_the_machine}.items() <= left.items()
    assert len(left["commit"]) >= 7


def test_the_pace_of_a_machine_is_milliseconds_of_a_fixed_piece_of_work() -> None:
    assert 1 < results.pace_ms() < 1_000


def test_a_run_can_leave_its_result_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AS", "route-of-one")
    results.Run("bench", "route").keep({})
    assert [path.name for path in (tmp_path / "bench").iterdir()] == ["route-of-one.json"]
