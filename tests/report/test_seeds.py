"""Figures of seeds, from summaries made by hand."""

import re
from typing import Any

from tests.report import seeds
from tests.report.gallery import REPOSITORY


def seed(*struck: tuple[str, float], p99_ms: list[int], due: list[int] | None = None) -> dict[str, Any]:
    """A seed with strikes, each of one fault that is over at once."""
    rows = [
        {"faults": name.split("+"), "struck_s": at, "healed_s": at, "recovers_s": 10.0, "recovered_s": 0.0}
        for name, at in struck
    ]
    return {"seed": 1, "struck": rows, "faults": [], "seconds": {"due": due or [9] * len(p99_ms), "p99_ms": p99_ms}}


def test_a_curve_counts_from_the_end_of_its_fault_and_stops_at_the_next_strike() -> None:
    found = seeds.curves([seed(("kill", 2.0), ("freeze", 5.0), p99_ms=[30, 31, 900, 400, 32, 7777, 33])], "kill")
    assert found == [{-2: 30, -1: 31, 0: 900, 1: 400, 2: 32}]


def test_a_curve_leaves_out_seconds_in_which_nothing_was_due_and_faults_that_came_in_a_pair() -> None:
    alone = seed(("kill", 1.0), p99_ms=[30, 900, 0, 31], due=[9, 9, 0, 9])
    assert seeds.curves([alone, seed(("kill+freeze", 1.0), p99_ms=[1, 2, 3])], "kill") == [{-1: 30, 0: 900, 2: 31}]


def test_the_middle_of_curves_is_told_where_at_least_half_of_them_are() -> None:
    assert seeds.middle([{0: 10, 1: 7}, {0: 40}, {0: 20}]) == [(0, 10, 20, 40)]


def test_the_most_telling_seed_has_the_most_strikes_of_the_short_ones() -> None:
    few, more = seed(("kill", 1.0), p99_ms=[1] * 9), seed(("kill", 1.0), ("kill", 3.0), p99_ms=[1] * 9)
    long = seed(*[("kill", float(at)) for at in range(9)], p99_ms=[1] * 300)
    broken_off = {"seed": 4, "faults": ["aborted"]}
    assert seeds.most_telling([few, more, long, broken_off]) is more
    assert seeds.most_telling([long, broken_off]) is None


def test_a_figure_that_no_seed_has_is_none_rather_than_nothing() -> None:
    assert seeds.total([{"lost": 1}, {}, {"lost": 2}], "lost") == 3
    assert seeds.total([{"lost": 1}], "phantom") is None


def test_every_check_of_a_seed_is_on_the_page() -> None:
    sources = [REPOSITORY / "tests" / "chaos" / f"{name}.py" for name in ("sums", "sent", "rows", "chaos")]
    asked = {name for path in sources for name in re.findall(r'expect_none\(\s*"(\w+)"', path.read_text())}
    assert asked == set(seeds.CHECKS)


def test_numbers_are_told_as_ranges_whatever_their_order() -> None:
    assert seeds.ranges([116, 2, 101, 1, 102]) == "1-2, 101-102, 116"
    assert seeds.ranges([]) == ""
