"""volume: ends are counted once each, by tenant, channel and hour, however often a batch comes."""

from typing import Any

from agents.stage import Outbox
from agents.taps.volume import HOUR_MS, TABLE, pack, tap, unpack
from schemas import metrics
from schemas.keys import SEPARATOR, at
from schemas.records import Status, encode
from schemas.vocabulary import Step
from tables.table import DictEntries
from tests.agents.world import NOW, Record


def status(offset: int, step: Step = Step.SENT, partition: int = 0, **fields: Any) -> Record:
    told = {"tenant": "shop", "channel": "sms", "at_ms": NOW, **fields}
    record = Status(notification_id="n", user_id="anna", position="t/0/0", step=step, **told)
    return Record("statuses", partition, offset, NOW, b"n", encode(record))


def run(table: DictEntries, *batch: Record) -> Outbox:
    outbox = Outbox()
    tap(batch, {TABLE.name: table}, outbox)
    return outbox


def counts(table: DictEntries) -> list[int]:
    return [unpack(entry)[0] for entry in table.values()]


def test_ends_are_counted_by_tenant_channel_and_hour() -> None:
    table = DictEntries()
    batch = [status(0), status(1), status(2, tenant="bank"), status(3, channel="push"), status(4, at_ms=NOW + HOUR_MS)]
    outbox = run(table, *batch, status(5, Step.DEAD))
    assert counts(table) == [3, 1, 1, 1]
    assert outbox.tally[metrics.VOLUME, ("shop", "sms", "sent")] == 3
    assert outbox.tally[metrics.VOLUME, ("shop", "sms", "dead")] == 1


def test_a_batch_that_comes_again_counts_nothing() -> None:
    table = DictEntries()
    run(table, status(0), status(1))
    assert run(table, status(0), status(1)).tally == {}
    run(table, status(1), status(2))
    assert counts(table) == [3]


def test_what_ends_in_two_partitions_is_counted_apart_by_the_offsets_of_each() -> None:
    table, name = DictEntries(), SEPARATOR.join(("shop", "sms", str(NOW // HOUR_MS))).encode()
    batch = [status(5), status(6), status(0, partition=1), status(7), status(1, partition=1)]
    outbox = run(table, *batch)
    assert table == {at(0, name): pack(3, 8), at(1, name): pack(2, 2)}
    assert outbox.tally[metrics.VOLUME, ("shop", "sms", "sent")] == 5
    assert run(table, *reversed(batch)).tally == {}
    run(table, status(2, partition=1))
    assert table == {at(0, name): pack(3, 8), at(1, name): pack(3, 3)}


def test_what_goes_on_and_what_is_decided_about_a_whole_notification_is_no_end() -> None:
    going_on = [status(n, step) for n, step in enumerate((Step.HELD, Step.ROUTED, Step.RETRYING, Step.DUPLICATE))]
    table = DictEntries()
    run(table, *going_on, status(7, Step.SUPPRESSED, channel=None), Record("statuses", 0, 8, NOW, b"n", None))
    assert table == {}


def test_an_entry_packs_and_unpacks() -> None:
    assert unpack(pack(5, 7)) == (5, 7)
