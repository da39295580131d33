"""What the page says of the peers."""

import json
from pathlib import Path

from tests.report import handmade
from tests.report.drawn import part, told
from tests.report.handmade import ABOUT, put
from tests.report.results import read, take_over


def test_peers_that_ran_apart_stand_together_if_their_sizes_are_the_same(tmp_path: Path) -> None:
    left, sizes = tmp_path / "left", {"kills": 12, "rate": 4000, "seed": 1}
    for name, peer, more in (
        ("kills", "carillon", {}),
        ("kills-java", "streams like", {}),
        ("kills-x", "x", {"seed": 2}),
    ):
        put(left, f"bench/{name}", ABOUT | sizes | {"peers": [{"peer": peer, "trouble": "none came"}]} | more)
    take_over(left, tmp_path / "kept")
    found = read(tmp_path / "kept").peers("bench/kills")
    assert found is not None
    assert [row["peer"] for row in found["peers"]] == ["carillon", "streams like"]
    assert read(tmp_path / "kept").peers("bench/steady") is None


def test_peers_of_the_backlog_that_another_table_leaves_out_are_named_there(tmp_path: Path) -> None:
    left, out = tmp_path / "left", ("plain lean", "faust stock")
    handmade.leave(left)
    kills, steady = (json.loads((left / "bench" / f"{name}.json").read_text()) for name in ("kills", "steady"))
    put(left, "bench/kills", kills | {"peers": [row for row in kills["peers"] if row["peer"] not in out]})
    put(left, "bench/steady", steady | {"peers": {n: rows for n, rows in steady["peers"].items() if n != "quix like"}})
    text = told(left, tmp_path)
    assert "Not measured here: plain loop, lean; Faust, stock." in part(text, "Loss and repeats under kills")
    assert "Not measured here: Quix Streams, like." in part(text, "At a steady rate")


def test_where_no_peer_is_left_out_none_is_named(text: str) -> None:
    assert "Not measured here" not in text


def test_another_run_of_the_same_work_stands_in_a_table_of_its_own(tmp_path: Path) -> None:
    left = tmp_path / "left"
    handmade.leave(left)
    peers, steady = (json.loads((left / "bench" / f"{name}.json").read_text()) for name in ("peers", "steady"))
    put(left, "bench/route", peers | {"events": 500_000, "users": 100_000, "runs": 3})
    put(left, "bench/every-steady", steady | {"seconds": 15})
    text = told(left, tmp_path)
    assert "500,000 events of 100,000 users" in part(text, "On a larger backlog")
    assert "15 s a rate." in part(text, "At a steady rate, every peer")
    assert part(text, "On a larger backlog").count("| Carillon |") == 1
