"""What the page says of seeds, and of stages struck alone."""

import json
from pathlib import Path

from tests.report import handmade
from tests.report.drawn import part, rows, told, told_in_full
from tests.report.handmade import ABOUT, put


def test_seeds_of_routing_are_told_one_by_one_and_together(text: str) -> None:
    assert "| 2 | kill, term | 12 | 70,001 | 2 | 2 | 2 | 2 | 2 | 2 |" in text
    assert "| together |  | 24 | 140,002 | 3 | 3 | 3 | 3 | 3 | 3 |" in text
    assert "Seeds that turned red: 2." in text


def test_pipeline_and_routing_are_added_up_with_both_parts_named(tmp_path: Path) -> None:
    assert (
        "2,468 accepted in the pipeline + 140,002 inputs routed = 142,470, under 10 faults struck + 24 strikes on "
        "routing = 34; lost: 3 in the pipeline + 9 in routing (undecided, held for ever or not written) = 12."
    ) in told_in_full(tmp_path, {"chaos/seed-2": handmade.seed(2, lost=3)})


def test_a_seed_of_routing_that_was_broken_off_is_in_no_sum(tmp_path: Path) -> None:
    broken_off = {"seed": 3, "kinds": ["kill"], "faults": ["aborted"], "why": "a worker ended"}
    handmade.leave(tmp_path / "left")
    route = json.loads((tmp_path / "left" / "chaos" / "route.json").read_text())
    put(tmp_path / "left", "chaos/route", route | {"seeds": [*route["seeds"], broken_off]})
    assert "140,002 inputs routed = 142,470, under 10 faults struck + 24 strikes" in told(tmp_path / "left", tmp_path)


def test_without_routing_nothing_is_added_up(tmp_path: Path) -> None:
    put(tmp_path / "left", "chaos/seed-1", handmade.seed(1))
    text = told(tmp_path / "left", tmp_path)
    assert "1,234" in text
    assert "Together with routing alone" not in text


def test_gaps_in_the_numbers_of_seeds_are_seen(tmp_path: Path) -> None:
    dirty = {f"chaos/seed-{number}": handmade.seed(number, commit="abc1234-dirty") for number in (4, 9)}
    text = told_in_full(tmp_path, dirty | {"chaos/seed-5": ABOUT | {"seed": 5, "faults": ["aborted"]}})
    assert "\n\nSeeds kept: 1-2, 4-5, 9. Run on an uncommitted tree: 4, 9.\n\n" in text


def test_seeds_of_commits_alone_are_not_called_uncommitted(text: str) -> None:
    assert "\n\nSeeds kept: 1-2.\n\n" in text


def test_how_many_seconds_were_late_is_told_of_strikes_alone(text: str) -> None:
    found = part(text, "Recovery")
    assert [row[-1] for row in rows(found, "fault")] == ["late, s"]
    assert [row[-1] for row in rows(found, "rolling restart")] == ["6"]
    assert [row[-1] for row in rows(found, "provider outage")] == ["not measured"]
    assert [row[-1] for row in rows(found, "any pair")] == ["7"]
    assert "0 where it was by then, as with faults that end with a wait" in found
    assert "of all since it struck and before the next strike, in which what was due was called later than" in found


def test_routing_is_told_by_the_number_of_its_workers(text: str) -> None:
    found = part(text, "Routing on more workers and on fewer")
    steps = [[size, ready] for size in ("1", "2", "4") for _, ready in rows(found, size)]
    assert steps == [["1", "2.5"], ["1", "0"], ["2", "3.5"], ["2", "0"], ["4", "6.5"]]
    assert "80,001 inputs" in found
    assert "Lost: 7. Written again: 9. Drained after 7.25 s. Checks that turned red: undecided." in found


def test_killed_delivery_is_told_with_its_repeats(text: str) -> None:
    found = part(text, "Delivery alone")
    told = {"kills": "20", "calls": "40,321", "calls repeated": "33", "most after one kill": "13", "unflagged": "3"}
    for what, figure in (told | {"lost of what was accepted": "5"}).items():
        assert rows(found, what) == [[what, figure]]
    assert "Checks that turned red: lost." in found
