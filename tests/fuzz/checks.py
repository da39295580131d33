"""What must hold of every case, whatever was written."""

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from agents.attempt import Work
from agents.record import Write
from flows.row_items import preference_items, row_item
from schemas import topics
from schemas.records import Status
from schemas.vocabulary import End, Lane, Step
from tests.fuzz.hostile import SECRET
from tests.fuzz.pipeline import PROVIDERS, Pipeline

RECORD_BYTES = 1_000_000
"""A broker takes batches of 1 MiB by default, and a batch's own head is part of it."""
PARTITION_KEY_BYTES, SORT_KEY_BYTES = 2_048, 1_024
"""DynamoDB's limits."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SINGLE_LINE = {"subject", "title"}
_FORMS = [SECRET.encode()] + [
    base64.b64encode(b"x" * shift + SECRET.encode() + b"x" * 3)[4:-4] for shift in range(3)
]  # the text, and how base64 shows it at each of three places
_ENDS = {Step(end.value) for end in End}
_status = msgspec.json.Decoder(Status).decode


def findings(case: Pipeline, *, ended: bool) -> list[str]:
    """What is wrong with a case; `ended` says whether its work came to an end."""
    found = [] if ended else ["the work does not come to an end"]
    return [
        *found,
        *case.raised,
        *_decisions(case),
        *_deliveries(case),
        *_sizes(case),
        *_secrets(case),
        *_rows(case),
        *_calls(case),
    ]


def _statuses(case: Pipeline) -> Iterator[Status]:
    return (_status(record.value or b"") for record in case.log[topics.STATUSES.name])


def steps(case: Pipeline) -> Iterator[Step]:
    """The step of every status, for what a search has seen."""
    return (status.step for status in _statuses(case))


def _decisions(case: Pipeline) -> Iterator[str]:
    """Every record on a topic of notifications has one decision, by its position."""
    decided = Counter(status.position for status in _statuses(case) if status.channel is None)
    for lane in Lane:
        name = topics.notifications(lane).name
        for record in case.log[name]:
            count = decided[f"{name}/{record.partition}/{record.offset}"]
            if count != 1:
                yield f"{name}/{record.partition}/{record.offset} has {count} decisions"


def _deliveries(case: Pipeline) -> Iterator[str]:
    """Every delivery that was routed has one end, and nothing else has."""
    routed: Counter[str] = Counter()
    ends: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for status in _statuses(case):
        if status.step is Step.ROUTED:
            routed[status.notification_id] += status.deliveries
        elif status.channel is not None and status.step in _ENDS and status.notification_id:
            ends[status.notification_id][status.channel, status.address_hash or ""] += 1
    for id_, count in routed.items():
        if sum(ends[id_].values()) != count:
            yield f"{count} deliveries were routed and {dict(ends[id_])} ended"
    yield from (f"{dict(ends[id_])} ended, and nothing was routed" for id_ in ends.keys() - routed.keys())


def _sizes(case: Pipeline) -> Iterator[str]:
    written = {name for name in case.log if not name.startswith("notifications")}
    for name in written:
        for record in case.log[name]:
            heads = sum(len(header) + len(value or b"") for header, value in record.headers)
            size = len(record.key or b"") + len(record.value or b"") + heads
            if size > RECORD_BYTES:
                yield f"a record of {size} bytes on {name}"


def _secrets(case: Pipeline) -> Iterator[str]:
    """Nothing that the engine writes or counts shows an address or a param."""
    inputs = {topics.PREFERENCES.name, *(topics.notifications(lane).name for lane in Lane)}
    engines = {
        name for name in case.log if name not in inputs and not name.startswith(("misplaced", "returns", "retries"))
    }
    for name in engines:
        for record in case.log[name]:
            text = b"|".join((record.key or b"", record.value or b"", repr(record.headers).encode()))
            if any(form in text for form in _FORMS):
                yield f"a secret is readable on {name}"
    if SECRET in repr(case.tallies):
        yield "a secret is in a metric's label"


def _rows(case: Pipeline) -> Iterator[str]:
    """Every row fits its table's keys, and no key is empty."""
    for write in case.writes:
        items = [row_item(write.row)] if isinstance(write, Write) else preference_items(write)
        names = ("notification_id", "") if isinstance(write, Write) else ("user_id", "channel_type")
        for item in items:
            for name, limit in zip(names, (PARTITION_KEY_BYTES, SORT_KEY_BYTES), strict=True):
                size = len(item[name]["S"].encode()) if name else 1
                if not 0 < size <= limit:
                    yield f"a row whose {name} has {size} bytes"


def _calls(case: Pipeline) -> Iterator[str]:
    """Every message can be asked of its provider, and keeps to one line where a line is all there is."""
    for work in case.works:
        for name in _SINGLE_LINE & work.message.parts.keys():
            if _CONTROL.search(work.message.parts[name]):
                yield f"a {name} with a control character"
        yield from _request(work)


def _request(work: Work) -> Iterator[str]:
    provider = PROVIDERS.get(work.message.channel)
    if provider is not None:
        try:
            provider.call(work.message, "token")
        except Exception as error:  # the finding
            yield f"{provider.name} cannot ask for a message: {error!r}"
