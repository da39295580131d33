"""dedup against crashes: whatever is replayed or lost, no request is lost and no repeat is let through.

The model is one partition. A crash goes back to the committed offset; of the table writes since then a prefix
survives, as in a changelog, and of the records written any subset, as in topics of many partitions.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.stage import Outgoing
from schemas import topics
from tables.table import DictEntries
from tests.agents.world import DAY, NOW, Record, World, asked, id_of, written

KEYS, KINDS = ("a", "a", "a", "b"), ("x", "x", "x", "y")


class Logged(DictEntries):
    """A table that remembers its writes in order, as a changelog does."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[bytes, bytes]] = []

    def __setitem__(self, key: bytes, entry: bytes) -> None:
        super().__setitem__(key, entry)
        self.log.append((key, entry))


@dataclass
class Partition:
    """A log, its consumer, and what became durable: the decisions of each offset."""

    world: World = field(
        default_factory=lambda: World().knows(addresses=[{"channel": "sms", "address": "+4915112345"}])
    )
    log: list[Record] = field(default_factory=list)
    next: int = 0
    committed: int = 0
    unsure: list[tuple[int, str]] = field(default_factory=list)
    durable: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    table: Logged = field(default_factory=Logged)
    snapshot: dict[bytes, bytes] = field(default_factory=dict)

    def append(self, key: str, kind: str, wait_ms: int) -> None:
        at = self.log[-1].timestamp + wait_ms if self.log else NOW
        ahead = "2099-01-01T00:00:00Z"
        self.log.append(asked(len(self.log), at=at, idempotency_key=key, category=kind, deadline=ahead))

    def run(self, count: int) -> None:
        """Run a batch. No record waits a day for its commit: older input is expired at intake."""
        if self.next == len(self.log):
            return
        if self.log[self.next].timestamp - self.log[self.committed].timestamp >= DAY:
            self.commit()
        until = self.log[self.committed].timestamp + DAY
        batch = [record for record in self.log[self.next : self.next + count] if record.timestamp < until]
        self.world.clock.now = max(self.world.clock.now, batch[-1].timestamp)
        self.world.tables["dedup"] = self.table
        outbox = self.world.route(*batch)
        self.next += len(batch)
        offsets = {f"{record.topic}/{record.partition}/{record.offset}": record.offset for record in batch}
        self.unsure += [(offsets[s["position"]], s["step"]) for s in written(outbox, topics.STATUSES)]
        self.unsure += [(offset, "sent") for offset in _senders(outbox.records, offsets)]

    def commit(self) -> None:
        for offset, step in self.unsure:
            self.durable[offset][step] += 1
        self.unsure, self.committed, self.table.log = [], self.next, []
        self.snapshot = dict(self.table)

    def crash(self, writes: int, outputs: int) -> None:
        """Keep the first `writes` table writes and the outputs whose bit is set; read again from the commit."""
        for place, (offset, step) in enumerate(self.unsure):
            self.durable[offset][step] += outputs >> (place % 8) & 1
        log, self.unsure, self.next = self.table.log, [], self.committed
        self.table = Logged()
        self.table.update(self.snapshot)
        for key, entry in log[:writes]:
            self.table[key] = entry


def _senders(records: list[Outgoing], offsets: dict[str, int]) -> list[int]:
    """The offset behind each delivery: route writes the deliveries of a notification right before its decision."""
    found, open_ = [], 0
    for topic, _, value, _, _ in records:
        if topic == topics.STATUSES.name:
            found += [offsets[msgspec.json.decode(value or b"")["position"]]] * open_
            open_ = 0
        else:
            open_ += topic.startswith("sms")
    return found


def owners(log: list[Record]) -> set[int]:
    """Which offsets own their key, by the rule and nothing else."""
    latest: dict[bytes, int] = {}
    found = set()
    for record in log:
        key = (record.value or b"").split(b'"idempotency_key":"')[1][:1]
        if key not in latest or record.timestamp - latest[key] >= DAY:
            latest[key] = record.timestamp
            found.add(record.offset)
    return found


GAPS = st.sampled_from((1, DAY // 2, DAY - 1))
ASKED = st.tuples(st.sampled_from(KEYS), st.sampled_from(KINDS), GAPS)
MOVE = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 3)),
    st.tuples(st.just("commit")),
    st.tuples(st.just("crash"), st.sampled_from((0, 1, 2, 9)), st.integers(0, 2**8 - 1)),
)


@settings(max_examples=400, deadline=None)
@example([("a", "x", 0), ("a", "x", DAY - 1), ("a", "x", 1)], [("run", 1), ("commit",), ("run", 2), ("crash", 9, 0)])
@given(st.lists(ASKED, min_size=2, max_size=6), st.lists(MOVE, max_size=8))
def test_no_crash_loses_an_owner_or_lets_a_repeat_through(
    requests: list[tuple[str, str, int]], moves: list[tuple[Any, ...]]
) -> None:
    partition = Partition()
    for request in requests:
        partition.append(*request)
    for name, *values in moves:
        getattr(partition, name)(*values)
    while partition.next < len(partition.log):
        partition.run(len(partition.log))
    partition.commit()
    first = owners(partition.log)
    for record in partition.log:
        became = partition.durable[record.offset]
        if record.offset in first:
            assert became["sent"] >= 1, "an owner is lost"
            assert set(+became) == {"sent", "routed"}
        else:
            assert became["sent"] == 0, "a repeat is let through"
            assert became["duplicate"] + became["dead"] >= 1


def test_the_model_knows_its_rule() -> None:
    world = Partition()
    for key, wait in (("a", 0), ("a", DAY - 1), ("a", 1), ("b", 0)):
        world.append(key, "x", wait)
    assert world.log[2].timestamp == NOW + DAY
    assert owners(world.log) == {0, 2, 3}
    assert id_of("a") != id_of("b")
