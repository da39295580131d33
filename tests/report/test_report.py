"""The page and its pictures, drawn from results made by hand."""

import json
from pathlib import Path

from tests.report import handmade, page
from tests.report.__main__ import EVIDENCE, fault_list
from tests.report.drawn import draw, pictures, rows, told_in_full, words
from tests.report.gallery import REPOSITORY
from tests.report.handmade import ABOUT
from tests.report.results import read, take_over

ALONE = ("route", "scale", "deliver", "lanes", "brokers", "selftest", "stock")


def test_the_page_shows_every_picture_that_was_drawn_and_no_other(drawn: Path, text: str) -> None:
    shown = pictures(text)
    assert len(shown) == len(set(shown)) == 9
    assert {drawn / name for name in shown} == set((drawn / "pictures").iterdir())


def test_figures_on_the_page_are_those_of_the_results(text: str) -> None:
    assert [row[1] for row in rows(text, "accepted")] == ["2,468", "8,999", "5,000"]
    assert rows(text, "**lost**") == [["**lost**", "0"]]
    assert rows(text, "strikes") == [["strikes", "8"]]
    assert rows(text, "most repeats after one fault") == [["most repeats after one fault", "7"]]
    assert rows(text, "kill") == [["kill", "4", "2", "5.5 [5 to 6]", "10", "0", "8.5 [8 to 9]"]]
    backlog, kills, *_ = (row for row in rows(text, "Carillon") if len(row) > 7)
    assert backlog[1:3] == ["12.9 [11.5 to 14.4]", "10.3"]
    assert kills == ["Carillon", "99,999", "12", "75,000", "0", "0", "0", "0", "2.5 [2.25 to 3]"]
    assert rows(text, "sustained, notifications/s (0: not searched)")[0][1] == "2,750"
    assert rows(text, "all") == [["all", "470"]]
    assert rows(text, "during") == [["during", "51.5", "91.5", "122"]]
    assert rows(text, "2 of 3") == [["2 of 3", "10.5", "6.25"]]


def test_every_run_is_told_with_its_command_commit_machine_and_load(text: str) -> None:
    (seeds,), (peers,) = rows(text, "`chaos/seeds`"), rows(text, "`bench/peers`")
    assert seeds[1:4] == ["`chaos.py DURATION=60`", "`abc1234`", "2026-01-02T03:04:05Z"]
    assert seeds[4:] == ["123", "0.5, 1.75", "45.5, 55.5"]
    assert peers[1:3] == ["`run.py EVENTS=1000`", "`abc1234`"]
    assert "2 cores of Some CPU, 24 GB, Linux 6.1; kafka-server 4.4.0, python 3.11.7" in text


def test_results_of_different_commits_are_told_with_the_newest_first(text: str, tmp_path: Path) -> None:
    later, before = {"began": "2026-01-09T00:00:00Z"}, {"began": "2025-12-31T00:00:00Z"}
    seed = handmade.seed(3, commit="def5678-dirty", **later)
    several = told_in_full(tmp_path, {"chaos/seed-3": seed, "chaos/other": ABOUT | before | {"commit": "0123456"}})
    assert "Run on different commits, the newest first: `def5678-dirty`, `abc1234`, `0123456`." in several
    assert "different commits" not in text


def test_pictures_say_their_figures_in_letters_that_can_be_searched(drawn: Path) -> None:
    said = {path.stem: words(path) for path in (drawn / "pictures").iterdir()}
    assert "4 strikes in 60 s: 0 of 1,234 accepted were lost" in said["faults"]
    assert "22 calls were repeated, 0 of them without a right to it" in said["repeats"]
    assert "kill (2 strikes)" in said["recovery"]
    assert "8,117" in said["peers-kills"]
    assert "99 % within 84 ms" in said["latency"]


def test_drawing_again_changes_nothing(drawn: Path, tmp_path: Path) -> None:
    draw(drawn / "left", tmp_path)
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert again == {name: (drawn / name).read_bytes() for name in again}
    assert len(again) > 15


def test_what_was_not_run_says_so_in_its_place(tmp_path: Path) -> None:
    draw(tmp_path / "nothing", tmp_path / "page")
    text = (tmp_path / "page" / "README.md").read_text()
    for target in ("chaos", *(f"chaos-{name}" for name in ALONE)):
        assert f"`make {target}` has left nothing" in text, target
    for target in ("bench-pipeline", "bench-latency", "bench-blast"):
        assert f"`make {target}` has left nothing" in text, target
    shown = pictures(text)
    assert len(shown) == 9
    assert all("not measured" in words(tmp_path / "page" / name) for name in shown)


def test_a_red_seed_and_a_peer_that_did_not_come_back_are_told(tmp_path: Path) -> None:
    broken_off = ABOUT | {"seed": 4, "faults": ["aborted"], "why": "a worker ended"}
    red = {"chaos/seed-3": handmade.seed(3, lost=2, faults=["lost"]), "chaos/seed-4": broken_off}
    text = told_in_full(tmp_path, red)
    assert "* Seed 3 is **red**: lost" in text
    assert "* Seed 4 is **red**: aborted" in text
    assert "with none lost" not in text
    assert "* Bytewax, like: not back within 60 s of kill 3" in text


def test_of_two_results_the_later_is_kept(tmp_path: Path) -> None:
    left, kept = tmp_path / "left", tmp_path / "kept"
    later, earlier = {"began": "2026-02-01T00:00:00Z"}, {"began": "2025-02-01T00:00:00Z"}
    handmade.leave(left)
    assert len(take_over(left, kept)) == 16
    assert take_over(left, kept) == []
    handmade.put(left, "chaos/seed-1", handmade.seed(1, accepted=77, **later))
    handmade.put(left, "chaos/seed-2", handmade.seed(2, accepted=88, **earlier))
    handmade.put(left, "chaos/stock", earlier | {"red": []})
    assert take_over(left, kept) == ["chaos/seed-1"]
    assert [seed["accepted"] for seed in read(kept).seeds] == [77, 1234]
    assert read(kept).single["chaos/stock"]["lost"] == 417


def test_a_seed_is_kept_in_columns_of_whole_numbers(tmp_path: Path) -> None:
    handmade.put(tmp_path, "chaos/seed-9", handmade.seed(9))
    take_over(tmp_path, tmp_path / "kept")
    (line,) = (tmp_path / "kept" / "chaos" / "seeds.jsonl").read_text().splitlines()
    seconds = json.loads(line)["seconds"]
    assert {len(column) for column in seconds.values()} == {64}
    assert all(isinstance(value, int) for column in seconds.values() for value in column)
    assert len(line) < 4000


def test_the_page_in_the_tree_is_what_its_results_draw(tmp_path: Path) -> None:
    page.write(read(EVIDENCE / "results"), tmp_path, fault_list())
    assert (tmp_path / "README.md").read_text() == (EVIDENCE / "README.md").read_text(), "make report"


def test_the_readme_shows_pictures_of_the_page() -> None:
    shown = [name for name in pictures((REPOSITORY / "README.md").read_text()) if name.endswith(".svg")]
    assert len(shown) == 3
    assert all((REPOSITORY / name).is_file() for name in shown)
