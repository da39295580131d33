"""What every stage of every flow promises, taps included: pure, total, repeatable, true to what its flow declares."""

import random
import subprocess
import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents.stage import Input, Outbox
from flows import roster
from flows.engine.flow import Chain, Flow
from flows.settings import Settings
from schemas import topics
from schemas.keys import partition_of
from schemas.records import Delivery, Notification, Preference, Status, encode
from schemas.sealing import KeyRing
from schemas.topics import Topic
from schemas.vocabulary import CLASSES, Lane, Step
from tables.table import DictEntries
from tests.agents.world import NOW, PARTITIONS, RING, TEMPLATE, Record, a_delivery, request

FORBIDDEN = {"faust", "aiokafka", "confluent_kafka", "boto3", "botocore", "redis", "rocksdict", "aiohttp", "socket"}
GARBAGE = [None, b"", b"{", b"\xff", b"null", b"{}", b"[" * 50_000, b'{"schema":9}']


class Here(roster.Means):
    """Means without a server: a shelf of templates, a provider that is not called, nonces that come again."""

    def __init__(self) -> None:
        self.settings, self.ring = Settings(partitions=PARTITIONS), KeyRing({1: bytes(range(32))}, bytes(32), bytes)

    @property
    def templates(self) -> Any:
        return SimpleNamespace(warm=lambda: 0, peek=lambda template_id, version: TEMPLATE)

    @property
    def rows(self) -> Any:
        return None

    def provider(self, channel: str) -> Any:
        return SimpleNamespace(name="nobody", window=8)


def built(name: str) -> Flow:
    return roster.FLOWS[name].build(Here())


CASES = [(name, topic) for name in roster.FLOWS for topic in built(name).stages]
every_stage = pytest.mark.parametrize(("name", "topic"), CASES, ids=[f"{n}-{t.name}" for n, t in CASES])


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """One moment for every clock."""
    monkeypatch.setattr("time.time_ns", lambda: NOW * 1_000_000)


def lane_of(topic: Topic) -> Lane:
    return Lane.LOW if Lane.LOW in topic.name.split(".") else Lane.HIGH


def samples(topic: Topic) -> list[bytes]:
    """Valid records of a topic."""
    lane = lane_of(topic)
    kind = next(kind for kind, rule in CLASSES.items() if rule.lane is lane)
    if topic.record is Notification:
        keys = [{"idempotency_key": key, "class": kind} for key in ("one", "two", "one")]
        return [msgspec.json.encode(request(**key)) for key in keys] + [msgspec.json.encode(request(user_id="bert"))]
    if topic.record is Delivery:
        channel = topic.name.partition("_")[0]
        return [encode(a_delivery(channel if channel in ("sms", "email", "push") else "sms", message_class=kind))]
    if topic.record is Preference:
        told = {"addresses": [{"channel": "sms", "address": "+4915112345678"}], "opt_outs": [{"channel": "email"}]}
        return [msgspec.json.encode({"tenant": "shop", "user_id": "anna", "version": n, **told}) for n in (2, 1)]
    if topic.record is Status:
        told = {"tenant": "shop", "user_id": "anna", "at_ms": NOW, "position": "t/0/0", "channel": "sms"}
        return [encode(Status(notification_id="n", step=step, **told)) for step in Step]  # type: ignore[arg-type]
    return [b"{}"]


def records(topic: Topic, values: Iterable[bytes | None]) -> list[Record]:
    way = [("to", topics.returns(lane_of(topic)).name.encode()), ("due", str(NOW).encode())]
    headers = way if topic.record is None else ()
    place = partition_of(b"anna", PARTITIONS)
    at = NOW - 3_600_000 if topic.record is None else NOW
    return [Record(topic.name, place, offset, at, b"anna", value, headers) for offset, value in enumerate(values)]


def tables_of(flow: Flow) -> dict[str, DictEntries]:
    return {table.name: DictEntries() for table in flow.tables}


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
