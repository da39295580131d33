"""The process ends when the entries of a batch are durable in their changelog and what it forwards was never sent."""

import itertools
from typing import Any

from flows.engine.producer import FlowProducer
from flows.engine.stop import die

AFTER = 60
"""Emissions of the process that go well."""


def plant() -> None:
    """Tear one emission in two."""
    emit, count = FlowProducer.emit, itertools.count()

    def torn(self: FlowProducer, records: Any, changelogs: Any, durable: Any, whole: Any, logged: Any) -> None:
        if records and changelogs and next(count) == AFTER:
            emit(self, [], changelogs, _nothing, lambda: die("planted: between note and forward"), logged)
        else:
            emit(self, records, changelogs, durable, whole, logged)

    FlowProducer.emit = torn  # type: ignore[method-assign]


def _nothing() -> None:
    """Nobody is told: the process ends before the rest could be."""
