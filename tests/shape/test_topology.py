"""topology.txt is printed from the flows, so that a change of wiring is seen as a diff."""

import re
from pathlib import Path

from flows import roster
from flows.picture import picture
from schemas import topics

FILE = Path(__file__).with_name("topology.txt")
AGAIN = "print it again: carillon flows --picture > tests/shape/topology.txt"
DRAWN = picture()
BLOCKS = {block.split("\n", 1)[0]: block for block in DRAWN.split("\n\n")}


def drawn(flow: str, what: str) -> list[str]:
    """The lines of a kind in a flow's block."""
    return re.findall(rf"^  {what} +(.+)$", BLOCKS[flow], re.MULTILINE)


def test_the_topology_is_the_one_that_was_reviewed() -> None:
    assert FILE.read_text() == DRAWN, AGAIN


def test_every_flow_is_drawn_once_under_its_own_name() -> None:
    assert list(BLOCKS) == list(roster.FLOWS)


def test_every_topic_of_the_catalogue_is_read_by_a_flow_but_what_is_for_people_and_for_start_up() -> None:
    read = {line.split(" > ")[0] for flow in BLOCKS for line in drawn(flow, "reads")}
    replicated = {"suppressions"}
    assert {topic.name for topic in topics.catalogue()} - read - replicated == {"notification_dlq", "key_ring"}


def test_no_flow_reads_or_writes_a_topic_of_the_other_lane() -> None:
    for name, entry in roster.FLOWS.items():
        if entry.lane is not None:
            other = "low" if entry.lane == "high" else "high"
            assert not re.search(rf"\.{other}\b", BLOCKS[name])


def test_nothing_stands_between_dedup_enrich_and_route() -> None:
    for lane in ("high", "low"):
        chains = {line.partition(" > ")[2] for line in drawn(f"route.{lane}", "reads")}
        assert chains == {"admit > dedup > enrich > route", "remember"}
