"""The simulation's clock, clients, disks and outside world in place of the real ones, while a seed is played."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import flows.deliver
import flows.engine.engine
import flows.engine.kafka.line
import flows.engine.kafka.reader
import flows.engine.outside
import flows.engine.producer
import flows.engine.seams
import flows.engine.state.restore
import flows.engine.state.tables
import flows.engine.tenure
import flows.record
import flows.retry
import flows.route
import flows.writer
from flows.engine.kafka.queued import WEIGHT
from tests.simulation.clients import Client, Line, LogReader
from tests.simulation.clockwork import Killed
from tests.simulation.consumer import FetchingConsumer
from tests.simulation.outside import Transport
from tests.simulation.state import DiskStore

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

Wanted = tuple[Any, str, object]
"""An owner, one of its attributes, and what stands there for a while."""

_engine = flows.engine
_WITH_CLOCK: tuple[Any, ...] = (
    _engine.engine,
    _engine.tenure,
    _engine.outside,
    _engine.state.tables,
    _engine.state.restore,
)
_DYING: tuple[Any, ...] = (
    _engine.engine,
    _engine.tenure,
    _engine.outside,
    _engine.kafka.line,
    _engine.kafka.reader,
    _engine.seams,
    _engine.state.tables,
    flows.writer,
)
_TELLING: tuple[Any, ...] = (flows.route, flows.deliver, flows.retry, flows.record, _engine.producer)


@contextmanager
def replaced(wanted: Sequence[Wanted]) -> Iterator[None]:
    """Set attributes for a while. Raises AttributeError for one that is not there."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in wanted]
    try:
        for owner, name, value in wanted:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


@contextmanager
def staged(scenario: "Scenario") -> Iterator[None]:
    """Everything below the engine is the simulation's within this block, and every process has ended behind it."""
    logger = logging.getLogger("carillon")
    level = logger.level
    with replaced(_wanted(scenario)):
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)
            for worker in scenario.workers:
                worker.retire()
            scenario.clockwork.close()


def _wanted(scenario: "Scenario") -> list[Wanted]:
    clockwork, draw = scenario.clockwork, scenario.draw
    outside = clockwork, scenario.broker, scenario.weather
    clock = SimpleNamespace(monotonic=clockwork.monotonic, time=clockwork.time)

    def die(why: str, error: BaseException | None = None, code: int = 70) -> NoReturn:
        life = clockwork.life
        assert life is not None, "only a process dies"
        scenario.died(life, why, error)
        life.end()
        raise Killed

    def store(folder: Any, keep_s: int | None, now_s: float) -> DiskStore:
        life = clockwork.life
        assert life is not None, "a process opens its stores"
        return DiskStore(scenario.disk(life), life, folder)

    at_once = draw.choice((1, 3, 10))
    return [
        *((module, "time", clock) for module in _WITH_CLOCK),
        *((module, "die", die) for module in _DYING),
        *((module, "now_ms", clockwork.now_ms) for module in _TELLING),
        (_engine.producer, "Line", lambda *settings: Line(clockwork, scenario.broker, *settings)),
        (_engine.kafka.line, "AIOKafkaClient", lambda **_: Client(*outside)),
        (_engine.kafka.line, "_QUEUE_LIMIT", draw.choice((4, 60_000)) * WEIGHT),
        (_engine.state.restore, "Consumer", lambda _: LogReader(*outside)),
        (_engine.state.tables, "Store", store),
        (_engine.tenure, "_LOOK_S", 0.02),
        (_engine.kafka.reader, "Consumer", lambda _: FetchingConsumer(*outside)),
        (_engine.kafka.reader, "FETCH_RECORDS", at_once),
        (_engine.kafka.reader, "SOURCE_RECORDS", at_once),
        (_engine.kafka.reader, "_POLLS_A_WAIT", 0.2),
        (_engine.kafka.reader, "_QUIET_POLL_S", 0.05),
        (_engine.seams, "_LOOK_S", 60.0),
        (_engine.engine, "QUEUED_LIMIT", draw.choice((2, 6, 1024))),
        (flows.deliver, "Transport", lambda _: Transport(scenario.sms)),
        (flows.deliver, "random", draw),
    ]
