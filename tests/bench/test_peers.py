"""The routing that peers have in common does the work that is expected of all of them, repeats and replays included."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

EVENTS, USERS = 4000, 300
HERE = Path(__file__).parent
KEYS = f"1:{base64.b64encode(b'k' * 32).decode()}"
INDEX_KEY = base64.b64encode(b"i" * 32).decode()


class Bench(NamedTuple):
    """The modules of the benchmark, which find each other by their folder."""

    outputs: Any
    peer: Any
    routing: Any
    workload: Any


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARILLON_KEYS", KEYS)
        patch.setenv("CARILLON_INDEX_KEY", INDEX_KEY)
        patch.syspath_prepend(HERE / "peers")
        patch.syspath_prepend(HERE)
        import outputs
        import peer
        import routing
        import workload

        yield Bench(outputs, peer, routing, workload)


class Played:
    """A peer in memory: its entries and users are dicts, what it sends is kept by topic."""

    def __init__(self, bench: Bench, variant: str) -> None:
        self.bench, self.variant = bench, variant
        self.router = bench.routing.Router(variant)
        records = bench.workload.preferences(USERS, self.router.ring, by_user=True)
        self.users = {key: self.router.remember(value) for key, value, _ in records}
        self.entries: dict[bytes, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []

    def take(self, number: int, event: Any) -> None:
        """Route one event, as record `number` of its partition."""
        asked = self.bench.routing.decode(event.body)
        id_ = self.bench.routing.id_of(asked)
        place = self.bench.routing.Place("notifications.high", 0, number, 1_000 + number)
        entry = self.router.route(
            place, asked, id_, self.entries.get(id_), self.users[event.user], lambda t, _, v: self.sent.append((t, v))
        )
        if entry is not None:
            self.entries[id_] = entry

    def deliveries(self) -> list[Any]:
        """What it delivered, opened."""
        peer, outputs = self.bench.peer.PEERS[f"plain {self.variant}"], self.bench.outputs
        bodies = [value for topic, value in self.sent if topic != self.bench.routing.STATUSES]
        return [outputs.contents(msgspec.json.decode(b, type=outputs.Routed), peer, self.router.ring) for b in bodies]


@pytest.mark.parametrize("variant", ["lean", "like"])
def test_a_backlog_with_repeats_comes_to_the_expected_deliveries_once_each(bench: Bench, variant: str) -> None:
    played = Played(bench, variant)
    for number, event in enumerate(bench.workload.backlog(EVENTS, USERS)):
        played.take(number, event)
    found = played.deliveries()
    assert set(found) == bench.workload.expected(EVENTS, USERS)
    assert len(found) == len(set(found))


def test_like_says_how_each_input_ended_and_lean_says_nothing(bench: Bench) -> None:
    for variant, told in (("lean", 0), ("like", EVENTS)):
        played = Played(bench, variant)
        for number, event in enumerate(bench.workload.backlog(EVENTS, USERS)):
            played.take(number, event)
        assert sum(topic == bench.routing.STATUSES for topic, _ in played.sent) == told


@pytest.mark.parametrize(("variant", "times"), [("lean", 1), ("like", 2)])
def test_only_an_entry_that_knows_its_record_lets_a_replay_out_again(bench: Bench, variant: str, times: int) -> None:
    played, event = Played(bench, variant), bench.workload.event(1, USERS)
    played.take(7, event)
    played.take(7, event)
    assert len(played.deliveries()) == times
    played.take(8, event)
    assert len(played.deliveries()) == times, "another record of the same request is a repeat"


def test_probes_ask_every_partition(bench: Bench) -> None:
    asked = bench.workload.probes("x", USERS)
    assert len(asked) == bench.workload.PARTITIONS
    assert all(key.startswith(bench.workload.PROBE) for key in asked)
