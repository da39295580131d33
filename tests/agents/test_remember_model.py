"""remember beside a model of its topic: in any order, the running table, the restored and the compacted one agree."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.remember import remember
from agents.stage import Outbox
from schemas import topics
from schemas.keys import HOME_BYTES, at, partition_of, user_key, user_suppression
from schemas.records import Preference, encode
from tables import suppressions
from tables.preferences import TABLE, Rest, unpack
from tables.table import DictEntries, Source
from tests.agents.world import NOW, PHONE, RING, Record

PARTITIONS = 2
HOME = partition_of(b"anna", PARTITIONS)
ANNA = user_key("shop", "anna")
APART, TOGETHER = [[0], [1]], [[0, 1], [1, 0]]
"""Turns of a process that holds both partitions: a batch of each, or of both at once."""
Asked = tuple[bytes, bytes | None, int]
"""Key, value and partition of what a producer writes."""


def asked(version: int, category: str | None, key: bytes = b"anna", place: int = HOME, tenant: str = "shop") -> Asked:
    """A preference that can be told by what it refuses; without a category it is silent."""
    opt_outs = [{"category": category}] if category else []
    told = {"addresses": [{"channel": "sms", "address": PHONE}], "opt_outs": opt_outs, "locale": "de"}
    if key == ANNA:
        del told["addresses"]
    body = {"tenant": tenant, "user_id": "anna", "version": version, **told}
    return key, encode(msgspec.convert(body, Preference)), place


class Log:
    """The topic and the lane that tells; the broker's clock moves on with every record."""

    def __init__(self) -> None:
        self.parts: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.tables = {"preferences": DictEntries()}
        self.told: list[bytes] = []
        self.suppressed: dict[bytes, bytes] = {}
        self._at = [0] * PARTITIONS
        self._clock = 0

    def append(self, key: bytes | None, value: bytes | None, place: int) -> None:
        self._clock += 1
        self.parts[place].append(Record("preferences", place, len(self.parts[place]), NOW + self._clock, key, value))

    def _run(self, places: Sequence[int], most: int) -> tuple[list[Record], Outbox]:
        batch = [record for place in places for record in self.parts[place][self._at[place] :][:most]]
        outbox = Outbox()
        remember(RING, lambda: NOW, PARTITIONS, tell=True)(batch, self.tables, outbox)
        return batch, outbox

    def crash(self, places: Sequence[int], most: int, back: int) -> None:
        """A batch of which the store alone is left; what was worked before it, so many records, comes again."""
        self._run(places, most)
        for place in places:
            self._at[place] = max(0, self._at[place] - back)

    def wipe(self) -> None:
        """The store is lost, and restored from all that lies in the log, ahead of what was worked."""
        assert TABLE.fold is not None
        self.tables["preferences"].clear()
        for record in [record for part in self.parts for record in part]:
            source = Source(record.key or b"", record.value, record.timestamp, record.partition, PARTITIONS)
            if (found := TABLE.fold.read(source)) is not None:
                key = at(record.partition, found[0])
                entry = TABLE.fold.after(found[1], self.tables["preferences"].get(key), RING)
                assert entry is not None
                self.tables["preferences"][key] = entry

    def work(self, places: Sequence[int], most: int) -> bool:
        """One batch, of so many records of each of these partitions. False if there was nothing left."""
        batch, outbox = self._run(places, most)
        for record in batch:
            self._at[record.partition] += 1
        for topic, key, value, to, _ in outbox.records:
            if topic == topics.PREFERENCES.name:
                self.append(key, value, to)
            elif topic == topics.SUPPRESSIONS.name:
                self.told.append(value or b"")
                self._suppress(key or b"", value)
        return bool(batch)

    def _suppress(self, key: bytes, value: bytes | None) -> None:
        fold = suppressions.TABLE.fold
        assert fold is not None
        found = fold.read(Source(key, value, NOW, 0, 1))
        assert found is not None
        entry = fold.after(found[1], self.suppressed.get(key), RING)
        assert entry is not None
        self.suppressed[key] = entry

    def drain(self, most: int = 3, turns: Sequence[Sequence[int]] = APART) -> "Log":
        for _ in range(200):
            if not any([self.work(places, most) for places in turns]):
                return self
        pytest.fail("it never ends: a copy is copied again")

    def standing(self, place: int = HOME) -> dict[bytes, bytes]:
        """The entries of a partition by their names."""
        entries = self.tables["preferences"].items()
        return {key[HOME_BYTES:]: entry for key, entry in entries if key.startswith(at(place, b""))}

    def running(self, place: int = HOME) -> dict[bytes, Any]:
        return meaning(self.standing(place))


def compacted(log: list[Record]) -> list[Record]:
    """The last record of each key; a deleted key leaves nothing."""
    last = {record.key: record for record in log}
    return sorted((r for r in last.values() if r.value is not None), key=lambda record: record.offset)


def restored(log: list[Record], standing: dict[bytes, bytes] | None = None) -> dict[bytes, Any]:
    """The table that a restore from these records makes, on top of what a store may hold already."""
    assert TABLE.fold is not None
    entries = dict(standing or {})
    for record in log:
        source = Source(record.key or b"", record.value, record.timestamp, record.partition, PARTITIONS)
        if (found := TABLE.fold.read(source)) is not None:
            entry = TABLE.fold.after(found[1], entries.get(found[0]), RING)
            assert entry is not None
            entries[found[0]] = entry
    return meaning(entries)


def meaning(entries: dict[bytes, bytes]) -> dict[bytes, Any]:
    """Entries without their seals, which differ from one to the next."""
    found = {key: unpack(entry) for key, entry in entries.items()}
    return {
        key: (e.version, e.accepted_ms, [(r.channel, r.hash) for r in e.reaches], e.opted_out, e.rest)
        for key, e in found.items()
    }


def agrees(found: dict[bytes, Any], running: dict[bytes, Any]) -> None:
    """Whether a restored table says what the running one says. It may remember opt-outs of an earlier version that the
    running one was never told of, since compaction may leave that version before the one that holds: then it takes back
    what nobody refused. It never forgets any."""

    def without(entries: dict[bytes, Any]) -> dict[bytes, Any]:
        return {k: (*e[:-1], replace(e[-1] or Rest(), opted_out_before=False)) for k, e in entries.items()}

    assert without(found) == without(running)
    for key, entry in running.items():
        assert not (entry[-1] and entry[-1].opted_out_before) or found[key][-1].opted_out_before


def check(log: Log) -> None:
    assert len(log.tables["preferences"]) == sum(len(log.standing(place)) for place in range(PARTITIONS))
    for place in range(PARTITIONS):
        whole, running = log.parts[place], log.running(place)
        assert restored(whole) == running
        agrees(restored(compacted(whole)), running)
        for start in range(0, len(whole), 3):
            agrees(restored(whole[start:], log.standing(place)), running)


def check_suppressed(log: Log) -> None:
    """What deliver would refuse is what the user refuses now."""
    for name, standing in log.standing().items():
        tenant, _, user = name.decode().partition("\x1f")
        entry, suppressed = unpack(standing), log.suppressed.get(user_suppression(tenant, user))
        for category in "abcd":
            assert suppressions.refuses(suppressed, "sms", category, NOW) is entry.refuses("sms", category)


def refused(log: Log, key: bytes = ANNA) -> list[str]:
    found: list[str] = log.running()[key][3]
    return found


WAYS = [
    [asked(1, "a"), asked(2, "b"), asked(3, "c"), asked(2, "d")],
    [asked(1, "a", ANNA), asked(2, "b", ANNA), asked(3, "c", ANNA), asked(3, "d", ANNA)],
    [asked(1, "a", place=1 - HOME), asked(2, "b"), asked(3, "c", place=1 - HOME), asked(1, "d", ANNA)],
    [asked(2, "a", ANNA, 1 - HOME), asked(1, "b", b"x"), asked(2, "c", b"y", 1 - HOME), asked(2, "d")],
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("most", [1, 3, 50])
@pytest.mark.parametrize("turns", [APART, TOGETHER], ids=["apart", "together"])
def test_in_any_order_the_greatest_version_holds_in_running_restored_and_compacted_tables(
    way: list[Asked], most: int, turns: list[list[int]]
) -> None:
    highest = max(msgspec.json.decode(value)["version"] for _, value, _ in way)
    for order in permutations(way):
        log = Log()
        for record in order:
            log.append(*record)
        log.drain(most, turns)
        check(log)
        assert log.running()[ANNA][0] == highest
        of_highest = [value for _, value, _ in order if msgspec.json.decode(value)["version"] == highest]
        assert refused(log) == [f"*/{msgspec.json.decode(of_highest[-1])['opt_outs'][0]['category']}"]


def test_two_tenants_with_one_user_id_both_survive_compaction_in_any_order() -> None:
    records = [asked(n, f"{tenant}{n}", tenant=tenant) for tenant in ("shop", "bank") for n in (1, 2)]
    for order in permutations(records):
        log = Log()
        for record in order:
            log.append(*record)
        log.drain()
        check(log)
        found = restored(compacted(log.parts[HOME]))
        assert {key: entry[3] for key, entry in found.items()} == {
            ANNA: ["*/shop2"],
            user_key("bank", "anna"): ["*/bank2"],
        }


def test_nothing_that_a_producer_wrote_in_plain_text_is_left_by_compaction() -> None:
    log = Log()
    for way in WAYS:
        for record in way:
            log.append(*record)
    log.drain()
    kept = [record for part in log.parts for record in compacted(part)]
    assert [record.key for record in kept] == [ANNA]
    assert not [record for record in kept if PHONE.encode() in (record.value or b"")]


def test_each_change_is_told_once() -> None:
    log = Log()
    for number, place in enumerate((HOME, 1 - HOME, HOME)):
        log.append(*asked(number, f"c{number}", place=place))
        log.drain()
    told = [msgspec.json.decode(value) for value in log.told]
    assert [suppression["opt_outs"] for suppression in told] == [["*/c0"], ["*/c1"], ["*/c2"]]


@pytest.mark.parametrize("key", [b"anna", ANNA])
def test_an_opt_out_that_the_next_version_leaves_out_is_lifted_once(key: bytes) -> None:
    log = Log()
    for version, category in enumerate((None, "a", None, None)):
        log.append(*asked(version, category, key))
        log.drain(1)
        check(log)
        check_suppressed(log)
    told = [msgspec.json.decode(value) for value in log.told]
    assert [suppression["blocked"] for suppression in told] == [True, False, False]
    assert len(log.parts[HOME]) < 16, "written again once, not for ever"


def test_an_opt_out_taken_back_is_lifted_though_the_process_died_between() -> None:
    log = Log()
    log.append(*asked(1, "a", ANNA))
    log.drain()
    log.append(*asked(2, None, ANNA))
    log.crash([HOME], 5, 0)
    log.wipe()
    log.append(*asked(1, "b", ANNA))
    log.drain()
    check(log)
    check_suppressed(log)
    assert refused(log) == []


STEPS = st.lists(
    st.one_of(
        st.builds(
            asked,
            st.integers(0, 3),
            st.sampled_from([*"abcd", None]),
            st.sampled_from([b"anna", ANNA, b"x"]),
            st.sampled_from([0, 1]),
            st.sampled_from(["shop", "bank"]),
        ),
        st.tuples(st.sampled_from([[0], [1], [0, 1], [1, 0]]), st.integers(1, 4)),
        st.tuples(st.sampled_from([b"anna", ANNA]), st.sampled_from([None, b"{"]), st.sampled_from([0, 1])),
        st.just(()),
        st.tuples(st.sampled_from([[0], [1], [0, 1]]), st.integers(1, 4), st.integers(0, 4), st.booleans()),
    ),
    max_size=16,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whatever_is_written_and_read_when_the_tables_agree(steps: list[Any]) -> None:
    log, asked_of = Log(), defaultdict[bytes, list[int]](list)
    for step in steps:
        if not step:
            log.drain()
        elif len(step) == 2:
            log.work(*step)
        elif len(step) == 4:
            log.crash(*step[:3])
            if step[3]:
                log.wipe()
        else:
            log.append(*step)
            if step[1] not in (None, b"{"):
                body = msgspec.json.decode(step[1])
                asked_of[user_key(body["tenant"], "anna")].append(body["version"])
    log.drain()
    check(log)
    check_suppressed(log)
    assert {key: entry[0] for key, entry in log.running().items()} == {k: max(v) for k, v in asked_of.items()}
