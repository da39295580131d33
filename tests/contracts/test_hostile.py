"""Whatever lies on a topic: every record that a producer or a stray tool can write has one end, and nothing raises."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.retry import Moment, destinations, retry
from agents.stage import Input, Outbox
from flows import roster
from schemas import topics
from schemas.records import DeadLetter, Status
from schemas.vocabulary import Lane
from tests.agents.world import HOME, NOW, PARTITIONS, RING, Clock, Record, World, a_delivery, asked, request
from tests.contracts.test_stages import built, tables_of

MOST_BYTES = 1_000_000
"""A little below what a broker takes by default: message.max.bytes is 1,048,588."""

TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(("best", "sms", "*", "a\x1fb", "\x00", "ſ"))
NUMBERS = st.integers() | st.sampled_from((0, -1, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400)) | st.floats()
TIMES = st.sampled_from(
    (
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2027-01-15T08:00:00.000001Z",
        "2027-01-15T08:00:00",
        "2027-13-15T08:00:00Z",
    )
)
LEAVES = TEXT | NUMBERS | TIMES | st.none() | st.booleans()
DEEP = st.integers(1, 1200).map(lambda levels: json.loads("[" * min(levels, 900) + "]" * min(levels, 900)))
JSON = st.recursive(
    LEAVES | DEEP, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
FIELDS = st.sampled_from(
    (*request(), "schema", "deadline", "collapse_key", "template_version", "produced_at", "sealed_params")
    + ("due_ms", "tries", "accepted_ms", "round", "channel", "attempt", "address", "tried", "version", "addresses")
)
"""Fields of notifications, deliveries and preferences."""
CHANGES = st.dictionaries(FIELDS, JSON, max_size=3)
KEYS = st.none() | st.just(b"anna") | st.binary(max_size=12) | st.just(b"k" * 1_000_000)
STRINGS = st.none() | st.binary(max_size=12)
WORDS = ("notifications.high/1/7", "checkout-service", "notifications.high/65536/7", "sms_notifications.high", str(NOW))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(("origin", "to", "due", "traceparent", b"\xff\xfe")) | st.text(max_size=3),
        STRINGS | st.sampled_from([word.encode() for word in WORDS]),
    ),
    max_size=4,
)
DETAILS = st.text(max_size=20) | st.sampled_from(("\ud800", "\x00", "x" * 2_000_000))


def written(body: object) -> bytes:
    """JSON as Python writes it: NaN, lone surrogates and all."""
    return json.dumps(body).encode()


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """A notification, a delivery or anything, changed in some fields, framed or cut off somewhere."""
    if draw(st.integers(0, 9)) == 0:
        return draw(STRINGS)
    whole: dict[str, Any] = draw(st.sampled_from((request(), msgspec.to_builtins(a_delivery()))))
    value = written(whole | draw(CHANGES))
    frame = draw(st.sampled_from((b"",) * 6 + (b"\x00\x00\x00\x00\x01", b"\xef\xbb\xbf", b"[")))
    return (frame + value)[: draw(st.sampled_from((None,) * 6 + (40, 150, -1)))]


@st.composite
def records(draw: st.DrawFn, *names: str) -> Record:
    """A record as it may lie on one of these topics; where the engine writes, it may also be a sealed one."""
    topic, headers = draw(st.sampled_from(names)), draw(HEADERS)
    partition, offset = draw(st.integers(0, PARTITIONS - 1) | st.just(HOME)), draw(st.integers(0, 2**63 - 1))
    at = draw(st.sampled_from((NOW, NOW, NOW, -1, 0, NOW - 10**9, 2**63 - 1)))
    value = draw(values())
    own = {of(Lane.HIGH).name: of(Lane.HIGH) for of in (topics.misplaced, topics.returns)}
    if topic in own and draw(st.booleans()):
        sound = json.loads(asked(topic=own[topic]).value or b"")
        value = written(sound | draw(CHANGES))
    return Record(topic, partition, offset, at, draw(KEYS), value, headers)


INPUTS = [of(Lane.HIGH).name for of in (topics.notifications, topics.misplaced, topics.returns)]
ROOMS = [topics.retries(Lane.HIGH, tier).name for tier in ("1s", "8s", "1h")]


@settings(max_examples=300, deadline=None)
@given(st.lists(records(*INPUTS), min_size=1, max_size=4))
@example([asked(params=json.loads('{"a":' * 600 + "1" + "}" * 600))])
def test_every_record_of_route_has_one_decision_or_is_keyed_again_and_nothing_raises(batch: list[Record]) -> None:
    world = World().knows()
    for topic in INPUTS:
        of_topic = [record for record in batch if record.topic == topic]
        outbox = world.route(*of_topic)
        decided = [_status(value) for name, _, value, _, _ in outbox.records if name == topics.STATUSES.name]
        again = [value for name, _, value, _, _ in outbox.records if name == topics.misplaced(Lane.HIGH).name]
        assert len(decided) + len(again) == len(of_topic)
        assert sum(status.step == "dead" for status in decided) == len(_letters(outbox))
        assert {letter.position for letter in _letters(outbox)} <= {status.position for status in decided}


@settings(max_examples=300, deadline=None)
@given(st.lists(records(*ROOMS), min_size=1, max_size=4))
def test_every_record_of_a_waiting_room_goes_on_waits_or_is_dead_and_nothing_raises(batch: list[Record]) -> None:
    stage = retry(Lane.HIGH, RING, Clock())
    ends = {*destinations(Lane.HIGH), topics.DEAD_LETTERS.name}
    ends |= {topics.retries(Lane.HIGH, tier).name for tier in topics.RETRY_TIERS_S}
    for record in batch:
        outbox = Outbox()
        later = stage([record], {}, outbox)
        found = [sent[0] for sent in outbox.records]
        found += [call.to for call in outbox.calls if isinstance(call, Moment)]
        assert len(found) == (later is None)
        assert set(found) <= ends


@pytest.mark.parametrize("name", roster.FLOWS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), detail=DETAILS)
def test_no_dead_letter_handler_raises_and_each_writes_one_dead_letter(
    name: str, data: st.DataObject, detail: str
) -> None:
    flow, outbox = built(name), Outbox()
    record: Input = data.draw(records(*(topic.name for topic in flow.stages)))
    flow.bury(record, detail, tables_of(flow), outbox)
    (letter,) = _letters(outbox)
    assert letter.position.rsplit("/", 2)[0]
    assert all(len(value or b"") < MOST_BYTES for _, _, value, _, _ in outbox.records)
    assert {sent[0] for sent in outbox.records} <= {declared.name for declared in flow.writes}


def _letters(outbox: Outbox) -> list[DeadLetter]:
    return [
        msgspec.json.decode(value or b"", type=DeadLetter)
        for name, _, value, _, _ in outbox.records
        if name == topics.DEAD_LETTERS.name
    ]


def _status(value: bytes | None) -> Status:
    return msgspec.json.decode(value or b"", type=Status)
