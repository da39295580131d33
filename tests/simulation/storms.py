"""Weather and faults of one kind only, for guards that are seldom needed; each must be outlived."""

from collections.abc import Iterator
from random import Random
from typing import Any

import flows.engine.kafka.reader
from tests.simulation import scenario, traffic
from tests.simulation.staging import Wanted
from tests.simulation.weather import Weather


def rows_take_long() -> list[Wanted]:
    """The store of rows thinks for longer than a drain every other time, and partitions wander."""
    return [
        (scenario, "CASTS", {"all": 1}),
        (scenario, "KINDS", {"term": 2, "stall": 2, "scale": 1}),
        (scenario, "FAULTS", (6,)),
        (Weather, "store_s", lambda self: self._draw.random() * self._draw.choice((0.05, 8.0))),
    ]


def the_wire_is_slow() -> list[Wanted]:
    """A request to the broker may be under way for longer than a drain."""
    return [
        (scenario, "KINDS", {"term": 2, "scale": 1}),
        (scenario, "FAULTS", (6,)),
        (Weather, "wire_s", lambda self: self._draw.random() * (8.0 if self._draw.random() < 0.06 else 0.003)),
    ]


def workers_come_and_go() -> list[Wanted]:
    """Workers end in order and others begin, many of them, and what is asked of a group may take long."""
    return [
        (scenario, "KINDS", {"term": 1}),
        (scenario, "FAULTS", (12,)),
        (Weather, "wire_s", lambda self: self._draw.random() * (1.0 if self._draw.random() < 0.3 else 0.003)),
    ]


def workers_stand_still() -> list[Wanted]:
    """Workers stand still for longer than their sessions, while answers of the broker take their time."""
    return [
        (scenario, "KINDS", {"stall": 1}),
        (scenario, "FAULTS", (6,)),
        (scenario, "STALLS_S", (12.0,)),
        (Weather, "ack_s", lambda self: self._draw.random() * 0.2),
    ]


def workers_are_cut_off() -> list[Wanted]:
    """Workers go on while the brokers hear nothing of them, and are heard again once others have their partitions."""
    return [
        (scenario, "KINDS", {"cut": 1}),
        (scenario, "FAULTS", (6,)),
        (scenario, "STALLS_S", (8.0, 12.0)),
    ]


def work_comes_in_heaps() -> list[Wanted]:
    """In fair weather: there is more of it, fetches bring much of several partitions, and templates are often still to
    be fetched."""
    few = traffic.requests

    def many(draw: Random, count: int, *more: Any) -> Iterator[traffic.Written]:
        return few(draw, 4 * count, *more)

    return [
        (scenario, "CASTS", {"path": 1}),
        (traffic, "requests", many),
        (flows.engine.kafka.reader, "FETCH_RECORDS", 50),
        (Weather, "_odd", lambda self: False),
        (Weather, "fetch_s", lambda self: self._draw.random()),
        (Weather, "restore_records", lambda self: 50),
        (Weather, "missing", lambda self: self._draw.random() < 0.15),
        (Weather, "call_s", lambda self: self._draw.random() * 0.2),
    ]


STORMS = (
    work_comes_in_heaps,
    rows_take_long,
    the_wire_is_slow,
    workers_are_cut_off,
    workers_come_and_go,
    workers_stand_still,
)
