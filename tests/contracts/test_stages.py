"""What every stage of every flow promises, taps included: pure, total, repeatable, true to what its flow declares."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents.stage import Input, Outbox
from flows import roster
from flows.engine.flow import Chain, Flow
from flows.settings import Settings
from schemas import topics
from schemas.keys import HOME_BYTES, at, notification_id, partition_of, user_key
from schemas.records import Delivery, Notification, Preference, Status, canonical, encode
from schemas.sealing import KeyRing
from schemas.topics import Topic
from schemas.vocabulary import CLASSES, Lane, Step
from tables.table import DictEntries, Kind
from tests.agents.world import HOME, NOW, PARTITIONS, RING, TEMPLATE, Record, a_delivery, request

FORBIDDEN = {"faust", "aiokafka", "confluent_kafka", "boto3", "botocore", "redis", "rocksdict", "aiohttp", "socket"}
KEYS = ({1: bytes(range(32))}, bytes(32), bytes)
GARBAGE = [None, b"", b"{", b"\xff", b"null", b"{}", b"[" * 50_000, b'{"schema":9}']


class Here(roster.Means):
    """Means without a server: a shelf of templates, a provider that is not called, nonces that come again."""

    def __init__(self) -> None:
        self.settings, self.ring = Settings(partitions=PARTITIONS), KeyRing(*KEYS)

    @property
    def templates(self) -> Any:
        return SimpleNamespace(warm=lambda: 0, peek=lambda template_id, version: TEMPLATE, failing_s=lambda: 0.0)

    @property
    def rows(self) -> Any:
        return SimpleNamespace(logs="logs", preferences="preferences")

    def provider(self, channel: str) -> Any:
        return SimpleNamespace(name="nobody", window=8)


class Same(KeyRing):
    """A ring that seals what is equal alike, whatever it has sealed before."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        return KeyRing(*KEYS).seal(plain, context)


def built(name: str, ring: KeyRing | None = None) -> Flow:
    means = Here()
    means.ring = ring or means.ring
    return roster.FLOWS[name].build(means)


CASES = [(name, topic) for name in roster.FLOWS for topic in built(name).stages]
every_stage = pytest.mark.parametrize(("name", "topic"), CASES, ids=[f"{n}-{t.name}" for n, t in CASES])


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """One moment for every clock."""
    monkeypatch.setattr("time.time_ns", lambda: NOW * 1_000_000)


def lane_of(topic: Topic) -> Lane:
    return Lane.LOW if Lane.LOW in topic.name.split(".") else Lane.HIGH


def sealed(body: dict[str, Any], lane: Lane) -> dict[str, Any]:
    """A request as the engine writes it again."""
    id_ = notification_id(body["tenant"], lane, body["user_id"], body["idempotency_key"])
    asked = {name: value for name, value in body.items() if name != "params"}
    return asked | {"sealed_params": RING.seal(canonical(body["params"]), id_.encode())}


def samples(topic: Topic) -> list[bytes]:
    """Valid records of a topic."""
    lane = lane_of(topic)
    kind = next(kind for kind, rule in CLASSES.items() if rule.lane is lane)
    if topic.record is Notification:
        keys = [{"idempotency_key": key, "class": kind} for key in ("one", "two", "one")]
        asked = [*(request(**key) for key in keys), request(user_id="bert"), request(user_id="bert", **keys[0])]
        engines = [sealed(body, lane) for body in asked if topic != topics.notifications(lane)]
        return [msgspec.json.encode(body) for body in asked + engines]
    if topic.record is Delivery:
        channel = topic.name.partition("_")[0]
        return [encode(a_delivery(channel if channel in ("sms", "email", "push") else "sms", message_class=kind))]
    if topic.record is Preference:
        told = {"addresses": [{"channel": "sms", "address": "+4915112345678"}], "opt_outs": [{"channel": "email"}]}
        versions = [("anna", 2), ("anna", 1), ("anna", 3), ("anna", 1), ("bert", 1)]
        return [msgspec.json.encode({"tenant": "shop", "user_id": who, "version": n, **told}) for who, n in versions]
    if topic.record is Status:
        told = {"tenant": "shop", "user_id": "anna", "at_ms": NOW, "position": "t/0/0", "channel": "sms"}
        return [encode(Status(notification_id="n", step=step, **told)) for step in Step]  # type: ignore[arg-type]
    return [b"{}"]


def records(topic: Topic, values: Iterable[bytes | None], place: int = HOME) -> list[Record]:
    way = [("to", topics.returns(lane_of(topic)).name.encode()), ("due", str(NOW).encode())]
    headers = way if topic.record is None else ()
    then = NOW - 3_600_000 if topic.record is None else NOW
    keys = (b"anna", user_key("shop", "anna") if topic.record is Preference else b"anna")
    return [
        Record(topic.name, place, offset, then, keys[offset % 2], value, headers) for offset, value in enumerate(values)
    ]


def tables_of(flow: Flow) -> dict[str, DictEntries]:
    return {table.name: DictEntries() for table in flow.tables}


class Watched(DictEntries):
    """A table that remembers which keys were asked of it since it was looked at, and which of them blindly: the
    engine's has nothing under a key that the same run has neither loaded nor written."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[bytes] = set()
        self.blind: set[bytes] = set()

    def load(self, keys: Iterable[bytes]) -> None:
        self.known.update(keys)

    def get(self, key: bytes, /) -> bytes | None:  # type: ignore[override]
        self.blind |= {key} - self.known
        return super().get(key)

    def __setitem__(self, key: bytes, entry: bytes, /) -> None:
        self.known.add(key)
        super().__setitem__(key, entry)


class Worker:
    """All that a flow does with its partitioned tables, watched; where it remembers preferences, they are there."""

    def __init__(self, name: str) -> None:
        self.flow, self.outbox = built(name, Same(*KEYS)), Outbox()
        self.tables: dict[str, Watched] = {t.name: Watched() for t in self.flow.tables if t.kind is not Kind.REPLICATED}
        self.asked: set[bytes] = set()
        if topics.PREFERENCES in self.flow.stages:
            self.work(topics.PREFERENCES, everywhere(topics.PREFERENCES))
        self.asked.clear()
        self.outbox = Outbox()

    def work(self, topic: Topic, batch: Sequence[Record]) -> None:
        """Run a batch, settle the calls that come of it, cut off, and bury every record as a culprit."""
        random.seed(7)
        tables, outbox = tables_of(self.flow) | self.tables, Outbox()
        assert self.flow.stages[topic](batch, tables, outbox) is None, "nothing of the samples is handed back"
        for record in batch:
            self.flow.bury(record, "ValueError", tables, outbox)
        self._look()
        if self.flow.outside is not None:
            results = [self.flow.outside.abandon(call, True) for call in outbox.calls]
            self.flow.outside.settle([result for result in results if result is not None], tables, outbox)
            self._look()
        self.outbox.add(outbox)

    def entries(self) -> list[str]:
        """What stands under the keys that were asked of the tables."""
        return [
            f"{name} {k!r}: {v!r}" for name, table in self.tables.items() for k, v in table.items() if k in self.asked
        ]

    def _look(self) -> None:
        for table in self.tables.values():
            self.asked |= table.known
            table.known = set()


def everywhere(topic: Topic) -> list[Record]:
    """Every sample in every partition, those of one after those of another by turns."""
    values = samples(topic)
    found = [records(topic, values, place) for place in range(PARTITIONS)]
    return [record for each in zip(*found, strict=True) for record in each]


def run(flow: Flow, topic: Topic, *batches: list[Record]) -> tuple[Any, ...]:
    """Everything that came of batches, in a form that can be compared."""
    random.seed(7)
    tables, found = tables_of(flow), []
    for batch in batches:
        outbox = Outbox()
        later = flow.stages[topic](batch, tables, outbox)
        tally = sorted((metric.name, labels, by) for (metric, labels), by in outbox.tally.items())
        found.append((later, outbox.records, [repr(call) for call in outbox.calls], tally, len(outbox.observed)))
    return found, tables


@every_stage
def test_an_empty_batch_does_nothing(name: str, topic: Topic) -> None:
    assert run(built(name), topic, []) == ([(None, [], [], [], 0)], tables_of(built(name)))


@every_stage
def test_the_same_state_and_batch_and_moment_give_the_same(name: str, topic: Topic) -> None:
    batch = records(topic, samples(topic))
    first, again = (run(built(name), topic, batch, batch) for _ in range(2))
    assert first == again


@every_stage
def test_what_a_stage_writes_is_what_its_flow_declares(name: str, topic: Topic) -> None:
    flow, outbox = built(name), Outbox()
    flow.stages[topic](records(topic, samples(topic)), tables_of(flow), outbox)
    assert {record[0] for record in outbox.records} <= {declared.name for declared in flow.writes}


@every_stage
def test_no_record_is_so_broken_that_nothing_becomes_of_it(name: str, topic: Topic) -> None:
    """A stage deals with it, or raises, and then its flow buries it."""
    flow = built(name)
    for record in records(topic, [*GARBAGE, *samples(topic)]):
        outbox, tables = Outbox(), tables_of(flow)
        try:
            flow.stages[topic]([record], tables, outbox)
        except Exception as error:
            outbox = Outbox()
            flow.bury(record, type(error).__name__, tables, outbox)
            assert topics.DEAD_LETTERS.name in {written[0] for written in outbox.records}
        assert {written[0] for written in outbox.records} <= {declared.name for declared in flow.writes}


@every_stage
def test_every_key_of_a_partitioned_table_begins_with_the_partition_of_a_record_of_its_batch(
    name: str, topic: Topic
) -> None:
    for place in range(PARTITIONS):
        worker = Worker(name)
        worker.work(topic, records(topic, samples(topic), place))
        assert {key[:HOME_BYTES] for key in worker.asked} <= {at(place, b"")}


@every_stage
def test_partitions_of_one_batch_know_nothing_of_one_another(name: str, topic: Topic) -> None:
    together, batch, entries, written = Worker(name), everywhere(topic), Counter[str](), Counter[str]()
    together.work(topic, batch)
    for place in range(PARTITIONS):
        alone = Worker(name)
        alone.work(topic, [record for record in batch if record.partition == place])
        entries.update(alone.entries())
        written.update(map(repr, alone.outbox.records))
    assert Counter(together.entries()) == entries
    assert Counter(map(repr, together.outbox.records)) == written


@every_stage
def test_nothing_is_read_of_a_partitioned_table_that_was_not_loaded(name: str, topic: Topic) -> None:
    worker = Worker(name)
    for _ in range(2):
        worker.work(topic, everywhere(topic))
    assert {table: entries.blind for table, entries in worker.tables.items() if entries.blind} == {}


@pytest.mark.parametrize("name", roster.FLOWS)
def test_the_samples_fill_every_partitioned_table(name: str) -> None:
    worker = Worker(name)
    for topic in worker.flow.stages:
        worker.work(topic, everywhere(topic))
    assert [table for table, entries in worker.tables.items() if not entries] == []


@pytest.mark.parametrize("name", [name for name in roster.FLOWS if built(name).outside is not None])
def test_nothing_settled_is_nothing_done(name: str) -> None:
    flow, outbox = built(name), Outbox()
    assert flow.outside is not None
    flow.outside.settle([], tables_of(flow), outbox)
    assert (outbox.records, outbox.calls, outbox.tally) == ([], [], {})


def test_no_module_of_a_stage_brings_io_along() -> None:
    stages = [stage for name in roster.FLOWS for stage in built(name).stages.values()]
    parts = [part for stage in stages for part in (stage.agents if isinstance(stage, Chain) else [stage])]
    found = sorted({part.__module__ for part in parts} | {"agents.settle", "agents.policy", "agents.render"})
    assert {"agents.admit", "agents.deliver", "agents.retry", "agents.taps.volume"} <= set(found)
    program = f"import sys\nfor m in {found}: __import__(m)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert {module.partition(".")[0] for module in loaded.stdout.split()} & FORBIDDEN == set()


def test_the_world_of_the_samples_is_that_of_the_stages() -> None:
    assert Here().ring.open(RING.seal(b"x", b"y"), b"y") == b"x"
    record: Input = records(topics.notifications(Lane.HIGH), [b"x"])[0]
    assert record.partition == partition_of(b"anna", PARTITIONS)
