"""The stages of a flow under guard: whatever they raise, however large what they write, no input ends the process.

Everything that a batch leads to is measured before any of it is written. A batch on which a stage raises, or which
leads to a record that no broker takes, is run again one by one, and the culprit is buried instead. Where its burial
raises or is too large itself, it is buried without its key and body, and at last by its position alone.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from agents.stage import Input, Later, Outbox, Outgoing, Tables
from flows.engine.culprits import Culprits
from flows.engine.flow import Flow, Result
from flows.engine.kafka.fetched import Fetched
from flows.engine.stop import EXIT_FAULTY, die
from schemas import metrics
from schemas.records import MAX_RECORD_BYTES

Item = TypeVar("Item")
Run = Callable[[Sequence[Item], Tables, Outbox], Later | None]
Writes = Mapping[bytes, bytes | None]

log = logging.getLogger("carillon.engine")


class TooLarge(Exception):
    """A record or an entry that no broker takes: says where it was to go, and its size."""


class Views(Protocol):
    """The tables of a flow, as far as a run needs them."""

    def views(self, earlier: Tables | None = None) -> Tables:
        """Views for one run, fresh or on top of what `earlier` ones wrote."""

    def logged_by(self, views: Tables) -> Iterable[tuple[str, Writes]]:
        """What a run wrote to each table that has a changelog."""


class Guarded:
    """Runs the stages of one flow."""

    def __init__(self, flow: Flow, tables: Views) -> None:
        self._flow, self._tables = flow, tables
        self._stages = {topic.name: stage for topic, stage in flow.stages.items()}
        self.culprits = Culprits()

    def run(self, topic: str, records: Sequence[Input]) -> tuple[Tables, Outbox, Later | None]:
        """What records of one topic lead to."""
        return self._run(records, self._stages[topic], self._bury)

    def settle(self, results: Sequence[Result]) -> tuple[Tables, Outbox]:
        """What results of calls lead to."""
        assert self._flow.outside is not None, "calls come from a flow with an outside"
        settle = self._flow.outside.settle

        def stage(batch: Sequence[Result], tables: Tables, outbox: Outbox) -> None:
            settle(batch, tables, outbox)

        views, outbox, _ = self._run(results, stage, self._bury_result)
        return views, outbox

    def _run(
        self,
        items: Sequence[Item],
        stage: Run[Item],
        instead: Callable[[Item, Exception, Tables], tuple[Tables, Outbox]],
    ) -> tuple[Tables, Outbox, Later | None]:
        try:
            return self._tried(items, stage)
        except Exception as error:  # any bug of a stage is one record's bug
            log.warning("stage_raised", extra={"flow": self._flow.name, "error": type(error).__name__})
        kept, views = Outbox(), self._tables.views()
        for index, item in enumerate(items):
            later = None
            try:
                trial, outbox, later = self._tried([item], stage, views)
            except Exception as error:  # the culprit, whatever it raised
                trial, outbox = instead(item, error, views)
            if later is not None:
                return views, kept, Later(index, later.not_before_ms)
            views = trial
            kept.add(outbox)
        return views, kept, None

    def _tried(
        self, items: Sequence[Item], stage: Run[Item], earlier: Tables | None = None
    ) -> tuple[Tables, Outbox, Later | None]:
        views, outbox = self._tables.views(earlier), Outbox()
        later = stage(items, views, outbox)
        measure(outbox.records)
        for table, writes in self._tables.logged_by(views):
            measure_entries(table, writes)
        return views, outbox, later

    def _bury(self, record: Input, error: Exception, views: Tables) -> tuple[Tables, Outbox]:
        """What becomes of a record on which its stage raised, or which led to too large a one."""
        detail = self._detail(error)

        def bury(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
            self._flow.bury(batch[0], detail, tables, outbox)
            self._count(error, outbox)

        place = record.topic, record.partition, record.offset, record.timestamp
        for shape in (record, Fetched(*place, None, None, record.headers)):
            try:
                return self._tried([shape], bury, views)[:2]
            except Exception as failure:  # whatever the record has in it, its position stays
                log.warning("burial_raised", extra={"flow": self._flow.name, "error": type(failure).__name__})
        return self._tried([Fetched(*place, None, None)], bury, views)[:2]

    def _bury_result(self, result: Result, error: Exception, views: Tables) -> tuple[Tables, Outbox]:
        """What becomes of a result that cannot be settled."""
        detail, outside = self._detail(error), self._flow.outside
        if outside is None or outside.bury is None:
            raise error  # the process ends; what its call came to is unknown to the next one
        bury = outside.bury

        def stage(batch: Sequence[Result], tables: Tables, outbox: Outbox) -> None:
            bury(batch[0], detail, tables, outbox)
            self._count(error, outbox)

        return self._tried([result], stage, views)[:2]

    def _detail(self, error: Exception) -> str:
        if isinstance(error, TooLarge):
            return str(error)
        self.culprit(error)
        return type(error).__name__

    def culprit(self, error: BaseException) -> None:
        """Something of ours raised on one record; on so many that the fault is not theirs the process ends."""
        if self.culprits.add(time.monotonic()):
            why = f"a stage of {self._flow.name} raised on {self.culprits.found} records within a minute, "
            die(f"{why}so the fault is its own: mend it, then start it again", error, EXIT_FAULTY)

    def _count(self, error: Exception, outbox: Outbox) -> None:
        outbox.count(metrics.OVERSIZE if isinstance(error, TooLarge) else metrics.CULPRITS, self._flow.name)


def measure(records: Iterable[Outgoing]) -> None:
    """Raises TooLarge where one is. 70 ns a record."""
    for topic, key, value, _, headers in records:
        size = (len(key) if key else 0) + (len(value) if value else 0)
        if headers:
            size += sum(len(name) + len(content or b"") for name, content in headers)
        if size > MAX_RECORD_BYTES:
            raise TooLarge(f"too large for {topic}: {size} bytes, {MAX_RECORD_BYTES} are the most")


def measure_entries(table: str, writes: Writes) -> None:
    """Raises TooLarge where an entry is too large to be a changelog record of its own."""
    for key, entry in writes.items():
        if entry and len(key) + len(entry) > MAX_RECORD_BYTES:
            size = len(key) + len(entry)
            raise TooLarge(f"too large for the table {table}: {size} bytes, {MAX_RECORD_BYTES} are the most")
