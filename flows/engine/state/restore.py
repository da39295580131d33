"""Brings stores up to the end of their logs, straight from fetched records into write batches.

Runs in a thread, outside any consumer group. A position below the log's start begins at the earliest: what retention
took has expired, what compaction took stands later in the log.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from flows.engine.kafka.consumers import logged
from flows.engine.state.changelog import unpack
from flows.engine.state.store import Store
from schemas.errors import EngineBroken, LogRecreated
from schemas.keys import at
from schemas.sealing import KeyRing
from tables.table import Fold, Source

_FETCH = 2_000
_SILENCE_S = 60.0
_logger = logging.getLogger("carillon.engine")


@dataclass(slots=True)
class Log:
    """One partition of a log to restore a store from; `fold` turns source records into entries.

    `partitions` is how many the topic has, for a log with a fold.
    """

    topic: str
    partition: int
    store: Store
    fold: Fold[Any] | None
    at: int = 0
    end: int = 0
    partitions: int = 0


def restore(
    brokers: str,
    logs: list[Log],
    ring: KeyRing,
    progress: Callable[[int], None],
    restored: Callable[[str, int], None],
    cancelled: Callable[[], bool],
) -> bool:
    """Restore every store to the end its log had at the start. `progress` gets the entries left, `restored`
    each topic with the records read. False if cancelled."""
    consumer = Consumer(logged(brokers) | {"enable.partition.eof": True})
    try:
        pending = _positions(consumer, logs)
        if not pending:
            return True
        consumer.assign([TopicPartition(log.topic, log.partition, log.at) for log in pending.values()])
        heard = time.monotonic()
        while pending:
            if cancelled():
                return False
            messages = consumer.consume(_FETCH, 0.02)
            if messages:
                heard = time.monotonic()
                _apply(messages, pending, ring, restored)
            elif time.monotonic() - heard > _SILENCE_S:
                raise EngineBroken(f"no answer from the broker for {_SILENCE_S:.0f} s while restoring")
            for place in [place for place, log in pending.items() if log.at >= log.end]:
                del pending[place]
            progress(sum(max(0, log.end - log.at) for log in pending.values()))
        return True
    finally:
        consumer.close()


def _positions(consumer: Consumer, logs: list[Log]) -> dict[tuple[str, int], Log]:
    pending = {}
    for log in logs:
        low, log.end = consumer.get_watermark_offsets(TopicPartition(log.topic, log.partition), timeout=30)
        kept = log.store.offset(log.partition)
        log.at = low if kept is None or kept < low else kept
        if log.at > log.end:
            raise LogRecreated(
                f"{log.topic}/{log.partition} ends at {log.end}, before the local store at {log.at}: "
                "the topic was made anew; remove this worker's folder in CARILLON_STATE"
            )
        if log.at < log.end:
            pending[log.topic, log.partition] = log
    for topic in {log.topic for log in pending.values() if log.fold is not None}:
        partitions = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        for log in pending.values():
            if log.topic == topic:
                log.partitions = partitions
    return pending


def _apply(
    messages: list[Message],
    pending: Mapping[tuple[str, int], Log],
    ring: KeyRing,
    restored: Callable[[str, int], None],
) -> None:
    groups: dict[tuple[str, int], list[Message]] = {}
    ends: dict[tuple[str, int], int] = {}
    for message in messages:
        place, error = (str(message.topic()), int(message.partition() or 0)), message.error()
        if error is None:
            groups.setdefault(place, []).append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ends[place] = message.offset() or 0
        elif not error.retriable():
            raise EngineBroken(f"restoring {message.topic()} failed: {error.str()}")
    for place, group in groups.items():
        log = pending.get(place)
        if log is None:
            continue
        log.at = (group[-1].offset() or 0) + 1
        if log.fold is None:
            entries: dict[bytes, bytes | None] = {}
            count = 0
            for message in group:
                said = _entries(message)
                count += len(said)
                entries.update(said)
            log.store.write(entries, {log.partition: log.at})
            restored(log.topic, count)
        else:
            changes, told = fold_over(log.fold, group, log.partitions, log.store, ring, log.partition)
            log.store.write(changes, {log.partition: log.at})
            restored(log.topic, len(told))
    _skip_to_ends(ends, pending)


def _entries(message: Message) -> dict[bytes, bytes | None]:
    """What a changelog record says. One that cannot be read is nobody's of ours, whose checksums are right: it says
    nothing, and ends no process."""
    try:
        return unpack(message.value() or b"")
    except msgspec.MsgspecError:
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        _logger.warning("changelog_record_unreadable", extra={"position": place})
        return {}


def fold_over(
    fold: Fold[Any],
    messages: Iterable[Message],
    partitions: int,
    store: Store,
    ring: KeyRing,
    home: int | None = None,
) -> tuple[dict[bytes, bytes | None], list[bytes]]:
    """Fold records of a topic over the entries that stand in `store`, read in one multi-get.

    `home` is the partition whose entries they are; a replicated table's are of none. Returns what changes, None for an
    entry that goes, and the key that each record said something about.
    """
    read, after = fold.read, fold.after
    told = [found for message in messages if (found := read(_source(message, partitions))) is not None]
    if home is not None:
        told = [(at(home, name), said) for name, said in told]
    keys = list({key for key, _ in told})
    standing = dict(zip(keys, store.get_many(keys), strict=True))
    changes: dict[bytes, bytes | None] = {}
    for key, said in told:
        before = standing[key]
        entry = after(said, before, ring)
        if entry is not before:
            standing[key] = changes[key] = entry
    return changes, [key for key, _ in told]


def _source(message: Message, partitions: int) -> Source:
    return Source(message.key() or b"", message.value(), message.timestamp()[1], message.partition() or 0, partitions)


def _skip_to_ends(ends: Mapping[tuple[str, int], int], pending: Mapping[tuple[str, int], Log]) -> None:
    """The last offsets of a log may hold no record (a transaction's marker): its end was reached all the same."""
    for place, end in ends.items():
        log = pending.get(place)
        if log is not None and end > log.at:
            log.at = end
            log.store.write({}, {log.partition: end})
