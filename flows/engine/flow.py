"""What a flow is, as its file declares it: topics, stages in order, tables, and what it does outside."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agents.stage import Input, Outbox, Stage, Tables
from schemas.topics import Topic
from schemas.vocabulary import Lane
from tables.table import Table

Work = object
Result = object


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a lane lets work gather before each fetch and each produce request, and how long it drains."""

    fetch_max_wait_ms: int
    linger_ms: float
    settle_s: float
    drain_s: float


WAITS: Mapping[Lane, Waits] = {
    Lane.HIGH: Waits(fetch_max_wait_ms=10, linger_ms=5, settle_s=0.010, drain_s=2.0),
    Lane.LOW: Waits(fetch_max_wait_ms=20, linger_ms=10, settle_s=0.020, drain_s=5.0),
}

UNHURRIED = Waits(fetch_max_wait_ms=100, linger_ms=50.0, settle_s=0.1, drain_s=5.0)
"""For a flow that no sender waits for."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a flow does outside Kafka, once what it announced is durable.

    `perform` does one piece of work, given the replicated tables, and returns its result; it never raises for what
    the outside does; one that raises all the same counts as cut off. `abandon` says what is known of a piece that
    was cut off or (started: False) never begun; None leaves its records uncommitted, for the next owner to do.
    `settle` is a stage over results instead of records, `bury` what becomes of one on which it raises or which
    leads to too large a record; without it that ends the process. `start` gets a check to make before whatever is
    done outside later than `perform` began: it ends a process that stood still.
    """

    window: int
    perform: Callable[[Work, Tables], Awaitable[Result]]
    abandon: Callable[[Work, bool], Result | None]
    settle: Callable[[Sequence[Result], Tables, Outbox], None]
    bury: Callable[[Result, str, Tables, Outbox], None] | None = None
    start: Callable[[Callable[[], None]], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """One deployable: one consumer group, one rebalance domain.

    `stages` maps each topic it reads to the stage its batches run through. `bury` writes what becomes of a record
    on which a stage raised, or which led to one that no broker takes. `dependencies` are servers other than Kafka that
    it needs, by name: each returns the seconds since it last answered, while it owes an answer, else 0.
    """

    name: str
    lane: Lane | None
    stages: Mapping[Topic, Stage]
    bury: Callable[[Input, str, Tables, Outbox], None]
    tables: tuple[Table, ...] = ()
    outside: Outside | None = None
    writes: tuple[Topic, ...] = ()
    waits: Waits = field(default_factory=lambda: WAITS[Lane.LOW])
    dependencies: Mapping[str, Callable[[], float]] = field(default_factory=dict)

    @property
    def session_s(self) -> float:
        """How long the group waits for a member it does not hear of before its partitions go to others."""
        return 6.0 if self.lane is Lane.HIGH else 10.0

    @property
    def group(self) -> str:
        """The consumer group, which is also the Faust app's id."""
        return f"carillon-{self.name}"


@dataclass(frozen=True, slots=True)
class Chain:
    """A stage made of agents, each taking what the one before passes on: (items, tables, outbox) -> items."""

    agents: tuple[Callable[..., Sequence[object]], ...]

    def __call__(self, batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
        """Run a batch through the agents, until one passes nothing on."""
        items: Sequence[object] = batch
        for agent in self.agents:
            items = agent(items, tables, outbox)
            if not items:
                return


def chain(*agents: Callable[..., Sequence[object]]) -> Stage:
    """The stage in which `agents` work one after the other."""
    return Chain(agents)
